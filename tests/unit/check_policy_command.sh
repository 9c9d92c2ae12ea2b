#!/bin/bash
# usage: check_policy_command.sh PORTCULLIS
# The way of an operator with a policy and a digest list, by the command: mistakes are named,
# verdicts explained, a list is learned, looked at, allowed and exported, and no file loses
# anything.
set -euo pipefail
readonly portcullis=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cd "$root"
unset PORTCULLIS_POLICY

fail()
{
    printf '%s\n' "$*" >&2
    exit 1
}

# run EXPECTED-CODE ARGUMENTS...: leaves the output in $out, the messages in $err.
run()
{
    local expected=$1 code=0
    shift
    "$portcullis" "$@" > out 2> err || code=$?
    out=$(< out)
    err=$(< err)
    [[ $code -eq $expected ]] || fail "$* ended with $code: $out $err"
}

says() # says TEXT PART
{
    [[ $1 == *"$2"* ]] || fail "expected '$2' in: $1"
}

mkdir lists
cat > policy.cfg << 'POLICY'
policy
    version = "1"
roles
    app
        schemas = "shop_%"
        rate = "100"
    reports
        classes = "read"
        digests = "protect"
        digest_list = "lists/reports.list"
    later
        dry_run = "class"
principals
    alice = "app"
    night-job = "reports"
POLICY

# ---- check ---------------------------------------------------------------------
run 78 policy check policy.cfg
says "$err" 'lists/reports.list: No such file'
printf '# reviewed\n' > lists/reports.list
run 0 policy check policy.cfg
says "$out" 'policy.cfg: well-formed; 3 roles, 2 principals'
says "$out" 'note: role reports may run nothing'
says "$out" 'note: nobody has the role later'
says "$out" 'note: role later: on trial, so not in force: class'
sed 's/rate = "100"/rate = "x"/; s/reports"$/nobody"/' policy.cfg > wrong.cfg
run 78 policy check wrong.cfg
says "$err" 'wrong.cfg:6: roles/app/rate: must be a number from 0 to 1000000'
says "$err" 'wrong.cfg:15: principals/night-job: there is no such role'
run 78 policy check not-there.cfg
says "$err" 'not-there.cfg: No such file'
run 64 policy
run 64 policy look

# ---- explain -------------------------------------------------------------------
run 0 policy explain -P policy.cfg -p alice -d shop_1 'INSERT INTO t VALUES (1)'
says "$out" 'may run'
says "$out" 'insert into t values (?)'
says "$out" '100 a second'
run 2 policy explain -P policy.cfg -p alice -d other 'INSERT INTO t VALUES (1)'
says "$out" 'rule        schema'
run 2 policy explain -P policy.cfg -p night-job 'DELETE FROM t'
says "$out" 'rule        class'
run 2 policy explain -P policy.cfg -p alice 'BEGIN'
says "$out" 'needs a session'
run 0 policy explain -P policy.cfg -p alice "SELECT ?, ?"
run 0 policy explain -P policy.cfg -p alice --session 'BEGIN'
run 2 policy explain -P policy.cfg -p carl 'SELECT 1'
says "$out" 'rule        principal'
run 2 policy explain -P policy.cfg -p alice 'SELECT /*!1 a*/'
says "$out" 'rule        statement'
run 2 policy explain -P policy.cfg -p night-job 'SELECT my_price(1)'
says "$out" 'class       write'
run 2 policy explain -P policy.cfg -p night-job --functions my_price 'SELECT my_price(1)'
says "$out" 'rule        digest'
PORTCULLIS_POLICY=policy.cfg run 0 policy explain -p alice 'SELECT 1'
run 78 policy explain -p alice 'SELECT 1'
says "$err" '/etc/portcullis/broker/policy.cfg'
run 64 policy explain -P policy.cfg 'SELECT 1'
run 64 policy explain -P policy.cfg -p alice

# ---- digests ---------------------------------------------------------------------
export PORTCULLIS_POLICY=policy.cfg
touch -d '1 hour ago' policy.cfg
before=$(stat -c %Y policy.cfg)
printf 'SELECT 1; SELECT a FROM t WHERE b = "x;y"; SELECT 2; SELECT /*!1 a*/;' > sql
run 0 digests learn --file sql
says "$out" 'lists/reports.list: 2 learned'
says "$err" 'statement 4 is left out: executable comment'
[[ $(stat -c %Y policy.cfg) -gt $before ]] || fail 'the policy was not touched'
run 0 digests list --state seen
[[ ${out%%$'\n'*} == '58aaeed564aa450f  seen  select ?' ]] || fail "listed: $out"
[[ ${out#*$'\n'} == '503f02b04c3e6ef7  seen  select a from t where b = ?' ]] || fail "listed: $out"
run 2 policy explain -p night-job 'SELECT 7'
says "$out" 'digest 58aaeed564aa450f is not on the list'
run 0 digests allow --role reports 58aaeed564aa450f
run 0 policy explain -p night-job 'SELECT 7'
run 0 digests export
[[ $out == '58aaeed564aa450f  allowed  select ?' ]] || fail "exported: $out"
head -1 lists/reports.list | grep -qx '# reviewed' || fail 'the comment is gone'

# What the broker saw, with a line that the disk cut.
printf '503f02b04c3e6ef7  seen  select a from t where b = ?\n' > lists/reports.list.seen
"$portcullis" digests learn --list other.list --file - <<< 'SELECT a, b FROM c' > out
sed 's/^#.*//' other.list >> lists/reports.list.seen
printf '0123' >> lists/reports.list.seen
run 0 digests list
says "$out" 'select a, b from c'
run 0 digests learn
says "$out" '1 learned'
says "$err" 'lists/reports.list.seen.taken:3: must begin'
[[ ! -e lists/reports.list.seen && ! -e lists/reports.list.seen.taken ]] || fail 'left behind'
run 0 digests allow --all
says "$out" '2 allowed'
run 0 digests allow --all
says "$out" '0 allowed'
run 0 digests export
[[ $(wc -l <<< "$out") -eq 3 ]] || fail "exported: $out"
[[ $(LC_ALL=C sort -k3 <<< "$out") == "$out" ]] || fail 'the export is in no order'

# Who change a list at the same time take turns.
for word in a b c d e f g h; do
    "$portcullis" digests learn --list shared.list --file - <<< "SELECT $word FROM t" > /dev/null &
done
wait
[[ $(wc -l < shared.list) -eq 8 ]] || fail "one was lost: $(< shared.list)"
run 78 digests learn --list no/such/folder.list --file sql
says "$err" 'no/such/'

# A wrong line or id changes nothing.
cp lists/reports.list keep
run 78 digests allow 0000000000000001
says "$err" 'no digest 0000000000000001 was seen'
run 78 digests allow abc
printf 'junk\n' >> lists/reports.list
run 78 digests learn --file sql
says "$err" 'reports.list:5: must begin'
head -n -1 lists/reports.list | cmp - keep || fail 'the list was changed'
cp keep lists/reports.list
run 64 digests
run 64 digests list 58aaeed564aa450f
run 64 digests allow
run 78 digests list --role app
says "$err" 'the role has no digest_list'
run 78 digests list --role nobody
echo 'the command does what docs/policy.md says'
