"""The page that bench/report.py fills: its style, its script, and the policy by which a browser
asks nobody for anything."""
import string

_LIGHT = {
    "paper": "#ffffff", "card": "#f6f7f9", "ink": "#1c2430", "soft": "#5a6675", "rule": "#d9dee5",
    "shade": "#f3d9a4", "good": "#d8f0dc", "fair": "#fbeab8", "bad": "#f8cdc8",
    # Strategies, in the order of report.COLORS; the last ones are for others.
    "c0": "#d01c2a", "c1": "#d98200", "c2": "#8a6d00", "c3": "#00805c", "c4": "#0e7fc2",
    "c5": "#b3478c", "c6": "#6b4fbb", "c7": "#76808c", "c8": "#3b7d23", "c9": "#a3483c",
    "c10": "#2b5f75", "c11": "#50555c",
    # Nodes.
    "n0": "#8aa4c8", "n1": "#e8a13d", "n2": "#62b08a", "n3": "#b79bd6", "n4": "#d98a8a",
    "n5": "#79b8c9", "n6": "#b9b06b", "n7": "#a1a8b0", "n8": "#cf94bd",
}
_DARK = {
    "paper": "#12161c", "card": "#1a2029", "ink": "#e6eaf0", "soft": "#9aa6b5", "rule": "#313a46",
    "shade": "#4a3b17", "good": "#1d4028", "fair": "#54461a", "bad": "#5e2622",
    "c0": "#ff5c66", "c1": "#f5a83b", "c2": "#cfb13a", "c3": "#3ecb9c", "c4": "#5fb8f2",
    "c5": "#ea86c4", "c6": "#a990f5", "c7": "#9aa6b5", "c8": "#8fce72", "c9": "#e89184",
    "c10": "#79b6cf", "c11": "#b9c0c9",
    "n0": "#5d7ba6", "n1": "#bd7a1c", "n2": "#3d8a66", "n3": "#8568ad", "n4": "#a85c5c",
    "n5": "#4a8b9e", "n6": "#8a8241", "n7": "#6d757e", "n8": "#9c6089",
}


def _variables(colors):
    return "".join(f"--{name}:{value};" for name, value in colors.items())


_STYLE = (
    f":root{{color-scheme:light;{_variables(_LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;"
    f"{_variables(_DARK)}}}}}"
    f":root[data-theme=dark]{{color-scheme:dark;{_variables(_DARK)}}}"
    + "".join(f".c{index}{{--own:var(--c{index})}}" for index in range(12))
    + "".join(f".n{index}{{--own:var(--n{index})}}" for index in range(9))
    + """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:0 16px 48px;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:20px 0 4px}h2{font-size:1.2rem;margin:36px 0 4px}
h3{font-size:1rem;margin:16px 0 4px}
small,figcaption,#about{color:var(--soft);font-size:.82rem}
#about{padding-left:18px;margin:4px 0;overflow-wrap:anywhere}
nav{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:6px;padding:8px 0;
background:var(--paper);border-bottom:1px solid var(--rule)}
button{font:inherit;font-size:.82rem;color:var(--ink);background:var(--card);
border:1px solid var(--rule);border-radius:14px;padding:3px 10px;cursor:pointer}
button[aria-pressed=true]{border-color:var(--own,var(--ink));outline:1px solid
var(--own,var(--ink))}
#theme{margin-left:auto}
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;background:var(--own);
margin-right:.4em}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:3px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th{font-weight:600}th:first-child{text-align:left;position:sticky;left:0;background:var(--paper)}
.heat0{background:var(--good)}.heat1{background:var(--fair)}.heat2{background:var(--bad)}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));
gap:14px;margin-top:12px}
figure{margin:0;padding:10px;background:var(--card);border-radius:8px;min-width:0}
#why figure{max-width:600px}
.legend{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:.8rem}
.banner{padding:8px 12px;background:var(--fair);border-radius:8px}
.doubt{font-size:.85rem;color:var(--soft)}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
svg .row{font-size:12px;fill:var(--ink)}svg .in{font-size:10px;fill:var(--ink)}
svg .grid{stroke:var(--rule);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1}
svg .shade{fill:var(--shade);opacity:.6}
svg polyline{fill:none;stroke:var(--own);stroke-width:1.6;stroke-linejoin:round}
svg polyline.c0{stroke-width:2.6}
svg .bar{stroke:var(--own);stroke-width:3}
svg .ring{fill:var(--card);stroke:var(--own);stroke-width:2.5}svg .disc{fill:var(--own)}
svg rect.node{fill:var(--own)}
.picking .s:not(.picked){opacity:.16}.picking nav .s:not(.picked){opacity:.6}
.picking polyline.picked{stroke-width:3.2}
""")

_SCRIPT = """
(function () {
  "use strict";
  var root = document.documentElement;
  var picks = document.querySelectorAll("[data-pick]");

  function pick(color) {
    root.classList.toggle("picking", color !== null);
    document.querySelectorAll(".s").forEach(function (one) {
      one.classList.toggle("picked", color !== null && one.classList.contains(color));
    });
    picks.forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.pick === color));
    });
  }

  picks.forEach(function (button) {
    button.addEventListener("click", function () {
      pick(button.getAttribute("aria-pressed") === "true" ? null : button.dataset.pick);
    });
  });
  document.getElementById("theme").addEventListener("click", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  pick(null);
}());
"""

PAGE = string.Template(
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    "<link rel=\"icon\" href=\"data:,\">"
    "<title>Portcullis: strategies compared</title><style>"
    + _STYLE.replace("$", "$$") +
    "</style></head><body><h1>Portcullis: strategies compared</h1><ul id=\"about\">$about</ul>"
    "<nav>$picks<button type=\"button\" id=\"theme\">light / dark</button></nav>"
    "<main>$body</main>"
    "<script type=\"application/json\" id=\"figures\">$data</script><script>"
    + _SCRIPT.replace("$", "$$") +
    "</script></body></html>\n")
