"""The page's style sheet: plain, light and dark, printable. Text only; no font, picture or address is loaded."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1a1c1f; --soft: #55595f; --rule: #c9cdd3; --band: #f3f5f7; --notice: #fff4d6;
  --link: #0b4f9e;
  --s0: #55595f; --s1: #8a2d9e; --s2: #1a7340; --s3: #0b5cad; --s4: #b3410c; --s5: #9c1a3c;
  --s6: #6b5d00; --s7: #0a6a75;
  --h0: #ffffff; --h1: #dbe9f8; --h2: #b3d1f0; --h3: #86b5e6; --h4: #5a98d9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e8eaed; --soft: #a9afb7; --rule: #454a52; --band: #1f2226; --notice: #3a3113;
    --link: #8fc1ff;
    --s0: #a9afb7; --s1: #d99be8; --s2: #6fd19a; --s3: #79b8ff; --s4: #ffa066; --s5: #ff8fa8;
    --s6: #d8c64a; --s7: #5fd0da;
    --h0: #15171a; --h1: #1b2c40; --h2: #20426a; --h3: #265a94; --h4: #2768b0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 78rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1, h2, h3, h4 { line-height: 1.25; margin: 2rem 0 0.6rem; }
h1 { font-size: 1.9rem; margin-top: 0; }
h2 { font-size: 1.55rem; border-top: 2px solid var(--ink); padding-top: 0.8rem; }
h3 { font-size: 1.25rem; border-bottom: 1px solid var(--rule); }
h4 { font-size: 1.05rem; }
p, ul, dl { max-width: 62rem; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.2rem; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
nav ul { list-style: none; padding: 0; }
nav ul ul { display: flex; flex-wrap: wrap; gap: 0.1rem 1.2rem; margin: 0.2rem 0 0.8rem; }
.notice { background: var(--notice); border-left: 6px solid var(--ink); padding: 0.4rem 1rem; }
.scroll { overflow-x: auto; margin: 0.8rem 0 1.6rem; }
table { min-width: min(100%, 40rem); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.88rem; }
caption { text-align: left; padding: 0.3rem 0; color: var(--soft); }
/* As wide as the box that the reader sees, however wide the table that scrolls in it. */
caption span { display: block; position: sticky; left: 0; max-width: min(62rem, calc(100vw - 3rem)); }
th, td { border: 1px solid var(--rule); padding: 0.25rem 0.3rem; text-align: left; vertical-align: top; }
thead th { background: var(--band); }
tbody { border-bottom: 2px solid var(--rule); }
td.n, th[scope="row"] { white-space: nowrap; }
td.n { text-align: right; }
th[scope="row"] small { white-space: normal; }
th small, td small { display: block; color: var(--soft); font-size: 0.82em; font-weight: 400; }
code { font: 0.85em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { background: var(--band); padding: 0.8rem; overflow-x: auto; white-space: pre-wrap; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; font-weight: 600; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; margin: 0.8rem 0; }
figure { margin: 0; border: 1px solid var(--rule); padding: 0.6rem; break-inside: avoid; }
figcaption { font-weight: 600; font-size: 0.95rem; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; font-size: 12px; }
svg text { fill: var(--ink); }
svg .grid { stroke: var(--rule); fill: none; }
svg .axis { stroke: var(--soft); fill: none; }
svg .line { fill: none; stroke-width: 2; }
svg .mark { stroke-width: 2; }
svg .s0 { stroke: var(--s0); } svg .s0 .mark { fill: var(--s0); }
svg .s1 { stroke: var(--s1); } svg .s1 .mark { fill: var(--s1); }
svg .s2 { stroke: var(--s2); } svg .s2 .mark { fill: var(--s2); }
svg .s3 { stroke: var(--s3); } svg .s3 .mark { fill: var(--s3); }
svg .s4 { stroke: var(--s4); } svg .s4 .mark { fill: var(--s4); }
svg .s5 { stroke: var(--s5); } svg .s5 .mark { fill: var(--s5); }
svg .s6 { stroke: var(--s6); } svg .s6 .mark { fill: var(--s6); }
svg .s7 { stroke: var(--s7); } svg .s7 .mark { fill: var(--s7); }
svg .bound { fill: none; stroke-width: 1.2; }
svg .note { stroke: var(--paper); stroke-width: 3; paint-order: stroke; font-size: 10px; }
th.group { background: var(--band); font-style: italic; font-weight: 600; }
td.h0 { background: var(--h0); } td.h1 { background: var(--h1); } td.h2 { background: var(--h2); }
td.h3 { background: var(--h3); } td.h4 { background: var(--h4); }
td.h0, td.h1, td.h2, td.h3, td.h4 { print-color-adjust: exact; }
@media print {
  :root {
    color-scheme: light;
    --paper: #ffffff; --ink: #000000; --soft: #444444; --rule: #999999; --band: #eeeeee; --notice: #eeeeee;
    --link: #000000;
    --s0: #55595f; --s1: #8a2d9e; --s2: #1a7340; --s3: #0b5cad; --s4: #b3410c; --s5: #9c1a3c;
    --s6: #6b5d00; --s7: #0a6a75;
    --h0: #ffffff; --h1: #dbe9f8; --h2: #b3d1f0; --h3: #86b5e6; --h4: #5a98d9;
  }
  @page { margin: 1.2cm; }
  body { max-width: none; padding: 0; font-size: 9pt; }
  nav { display: none; }
  .scroll { overflow: visible; break-inside: avoid; }
  caption span { position: static; max-width: none; }
  th, td { padding: 0.12rem 0.2rem; }
  th[scope="row"] { white-space: normal; min-width: 14ch; }
  tr:has(> th.group) { break-after: avoid; }
  details::details-content { content-visibility: visible; }
  table { font-size: 7pt; }
  tr, figure, .notice { break-inside: avoid; }
  h2, h3, h4, summary, caption { break-after: avoid; }
  thead { display: table-header-group; }
}
"""
