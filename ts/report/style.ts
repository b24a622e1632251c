/** The page's style: system fonts, one column, light and dark, prints well, no script. */

import { type Markup, trusted } from './html.js'

/** CSS for `<style>`. Line colours keep a contrast of 4.5 against both backgrounds. */
export const STYLE: Markup = trusted(`
:root{color-scheme:light dark;--paper:#fcfbf8;--card:#fff;--ink:#1c1e21;--quiet:#5d6168;--rule:#dedbd3;--grid:#eceae4;
--c0:#1d5fd0;--c1:#b4480a;--c2:#0d7466;--c3:#8a3ea8;--hit:#0d7a3e;--hit-paper:#e4f5ea}
@media(prefers-color-scheme:dark){:root{--paper:#15171a;--card:#1d2024;--ink:#e8e6e1;--quiet:#a3a7ae;--rule:#373b41;--grid:#2a2d32;
--c0:#82b1ff;--c1:#ffb072;--c2:#5fd4bf;--c3:#dba0f0;--hit:#6fdd9b;--hit-paper:#173323}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .5rem;letter-spacing:-.015em}
h2{font-size:1.25rem;margin:2.75rem 0 .5rem;padding-top:1.25rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:0 0 .4rem}
p{max-width:46rem;margin:.4rem 0 .8rem}
.lead{font-size:1.1rem}.quiet,figcaption,.legend,td small,.caption{color:var(--quiet);font-size:.875rem}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.4rem .9rem;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left;padding-left:0}
thead th{font-size:.875rem;color:var(--quiet);font-weight:600}
tr.best td,tr.best th{font-weight:700}
tbody th{font-weight:inherit}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:1.25rem;margin:1rem 0}
figure{margin:0}
.chart{background:var(--card);border:1px solid var(--rule);border-radius:.6rem;padding:1rem}
.chart>svg{display:block;width:100%;height:auto}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;margin:0 0 .5rem}
.legend svg{vertical-align:middle;margin-right:.4rem}
.axis{stroke:var(--quiet);fill:none}.grid{stroke:var(--grid);fill:none}
.tick{font-size:12px;fill:var(--quiet)}.label{font-size:13px;fill:var(--ink)}
.line{fill:none;stroke-width:2.25;stroke-linejoin:round}
.line-0{stroke:var(--c0)}.line-1{stroke:var(--c1);stroke-dasharray:7 4}.line-2{stroke:var(--c2);stroke-dasharray:2 3.5}.line-3{stroke:var(--c3);stroke-dasharray:9 3 2 3}
.dot-0{fill:var(--c0)}.dot-1{fill:var(--c1)}.dot-2{fill:var(--c2)}.dot-3{fill:var(--c3)}
img{display:block;background:#fff;border-radius:.35rem}
.views{display:grid;grid-template-columns:repeat(auto-fill,minmax(14.5rem,1fr));gap:1rem;margin:1rem 0}
.views figure{background:var(--card);border:1px solid var(--rule);border-radius:.6rem;padding:.6rem;display:grid;grid-template-columns:repeat(3,4rem);justify-content:center;gap:.4rem;text-align:center}
.views img,.rows img{width:4rem;height:4rem}
.rows{overflow-x:auto}
.rows table{margin:.5rem 0}
.rows th,.rows td{text-align:center;vertical-align:top;padding:.5rem .35rem;border-bottom:1px solid var(--rule)}
.rows td:first-child,.rows th:first-child{text-align:left;padding-right:1.25rem}
.query{display:flex;gap:.75rem;align-items:center;min-width:13rem}
.neighbour{display:inline-block;padding:.25rem;border-radius:.5rem;border:2px solid transparent;font-size:.8125rem;color:var(--quiet)}
.neighbour.hit{border-color:var(--hit);background:var(--hit-paper);color:var(--hit);font-weight:700}
details{margin:1rem 0}summary{cursor:pointer}
pre{background:var(--card);border:1px solid var(--rule);border-radius:.6rem;padding:1rem;overflow-x:auto;font-size:.8125rem;line-height:1.45}
@media print{main{padding:0}.chart,.views figure,.rows tr{break-inside:avoid}}
`)
