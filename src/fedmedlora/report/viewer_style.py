"""The style sheet of the notes: lines under text in lanes, tags, filters. Only on pages that quote notes."""

from __future__ import annotations

VIEWER_CSS = """
.viewer form {
  display: flex; flex-wrap: wrap; gap: 0.4rem 0.8rem; align-items: center;
  background: var(--paper); border-bottom: 1px solid var(--rule); padding: 0.5rem 0;
}
@media (min-width: 45rem) { .viewer form { position: sticky; top: 0; z-index: 1; } }
.viewer [hidden] { display: none; }
.viewer label { font-size: 0.9rem; color: var(--soft); }
.viewer select, .viewer button {
  font: inherit; font-size: 0.9rem; color: var(--ink); background: var(--band); border: 1px solid var(--soft);
  border-radius: 4px; padding: 0.2rem 0.5rem; min-height: 2rem; max-width: 100%;
}
.viewer [role="status"] { font-size: 0.9rem; min-width: 14rem; }
.viewer kbd { border: 1px solid var(--rule); border-radius: 3px; padding: 0 0.3em; }
.legend ul { display: flex; flex-wrap: wrap; gap: 0.3rem 1.4rem; list-style: none; padding: 0; margin: 0.5rem 0; }
.view { border: 1px solid var(--rule); border-radius: 4px; margin: 0.8rem 0; scroll-margin-top: 7rem; }
.view > summary { padding: 0.5rem 0.8rem; background: var(--band); overflow-wrap: anywhere; scroll-margin-top: 7rem; }
.view .of { font-weight: 400; color: var(--soft); margin-left: 0.9rem; }
.view .text {
  padding: 0.6rem 0.8rem; max-width: 62rem; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: plaintext; text-align: start;
}
.view ol { list-style: none; margin: 0; padding: 0.5rem 0.8rem; border-top: 1px solid var(--rule); font-size: 0.92em; }
.view li { margin: 0.25rem 0; overflow-wrap: anywhere; scroll-margin-block: 9rem; }
.view > p { padding: 0 0.8rem; color: var(--soft); }
.chip { border: 1px solid var(--rule); border-radius: 1em; padding: 0.05em 0.6em; box-decoration-break: clone; }
.chip b { font-weight: 600; font-size: 0.9em; }
.tag {
  unicode-bidi: isolate; white-space: nowrap; font: 600 0.72em/1.2 ui-monospace, Menlo, Consolas, monospace;
  color: var(--k); background: var(--band); border: 1px solid var(--k); border-radius: 3px; padding: 0 0.25em;
  margin: 0 0.15em; text-decoration: none; scroll-margin-block: 9rem;
}
.view .text u:not(.off) { text-decoration-color: var(--k); }
.view u, .legend u { text-decoration: underline var(--k); text-decoration-skip-ink: none; }
u.g { text-decoration-style: solid; text-decoration-thickness: 2px; }
u.p { text-decoration-style: dashed; text-decoration-thickness: 2px; }
u.a { text-decoration-style: double; text-decoration-thickness: 1px; }
u.gap { text-decoration-style: dotted; text-decoration-thickness: 1px; }
u.off { text-decoration: none; }
.tag.off, li.off { display: none; }
u.on { background: var(--notice); }
.tag.on { outline: 3px solid var(--link); outline-offset: 1px; }
li.on, li:target { background: var(--notice); }
.k-ok { --k: var(--s2); } .k-b { --k: var(--s4); } .k-t, .k-tb { --k: var(--s1); }
.k-m { --k: var(--s5); } .k-s { --k: var(--s3); } .k-w { --k: var(--s0); }
u.l0 { text-underline-offset: 3px; } u.l1 { text-underline-offset: 8px; } u.l2 { text-underline-offset: 13px; }
u.l3 { text-underline-offset: 18px; } u.l4 { text-underline-offset: 23px; } u.l5 { text-underline-offset: 28px; }
u.l6 { text-underline-offset: 33px; } u.l7 { text-underline-offset: 38px; }
.h1 { line-height: 1.9rem; } .h2 { line-height: 2.2rem; } .h3 { line-height: 2.5rem; } .h4 { line-height: 2.8rem; }
.h5 { line-height: 3.1rem; } .h6 { line-height: 3.4rem; } .h7 { line-height: 3.7rem; } .h8 { line-height: 4rem; }
@media print {
  .viewer form, .viewer .keys { display: none; }
  .view li { break-inside: avoid; }
}
"""
