#!/usr/bin/env bash
# check_sim_plot.sh PORTCULLIS-SIM: its figures can be read again and drawn.
set -euo pipefail
sim=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$sim" -t more -n 'no beats+slow' -p oracle,custom -s 1 -x 50 -o "$folder/figures.csv" \
    > "$folder/text"
[[ $(cut -d , -f 2 "$folder/figures.csv" | sort -u | wc -l) -eq 2 ]] # the head's and the scenario
python3 "$(dirname "$0")/../../bench/sim/plot.py" "$folder/figures.csv" "$folder/page.html"
python3 - "$folder/page.html" << 'EOF'
import re
import sys
import xml.dom.minidom

page = open(sys.argv[1], encoding="utf-8").read()
pictures = re.findall(r"<svg.*?</svg>", page, re.S)
assert pictures, "nothing was drawn"
for picture in pictures:
    xml.dom.minidom.parseString(picture)
assert "no beats+slow" in page and "custom" in page, "the scenario is not named"
assert not re.search(r'(src|href)="', page), "the page needs other files"
EOF
echo "${0##*/}: figures read and drawn"
