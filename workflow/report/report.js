"use strict";
// Everything can be read without this: it sorts and filters tables, and opens what is folded before printing.
const valueOf = (cell) => {
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
};
const compare = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = [...table.tBodies[0].rows].map((row) => [valueOf(row.cells[column]), row]);
      // Empty entries stay last in both directions.
      keyed.sort(([a], [b]) => (a === "") - (b === "") || (down ? compare(b, a) : compare(a, b)));
      table.tBodies[0].append(...keyed.map(([, row]) => row));
    });
  });
}
// A filter is a list of words, all of which a row must have. A word is an entry of the row, as a whole; COLUMN=entry
// asks for it in one column. A word that no row has as an entry is looked for within the rows' texts.
const plain = (text) => text.trim().toLowerCase().replace(/\s*([=+])\s*/g, "$1").replace(/\+/g, "_");
const same = (entry, word) => entry === word || (word !== "" && entry !== "" && Number(entry) === Number(word));
for (const filter of document.querySelectorAll(".filter")) {
  const input = filter.querySelector("input");
  const tables = input.getAttribute("aria-controls").split(" ").map((id) => document.getElementById(id));
  const parts = tables.map((table) => {
    const heads = [...table.tHead.rows[0].cells];
    const keys = heads.map((head) => [head.dataset.key, head.textContent].map((key) => plain(key ?? "")));
    const isEntry = heads.map((head) => head.dataset.key !== undefined && !head.dataset.key.startsWith("seed"));
    const rows = [...table.tBodies[0].rows].map((row) => [row, [...row.cells].map((cell) => plain(cell.textContent))]);
    return { heads, keys, isEntry, rows };
  });
  const { heads, isEntry, rows } = parts.at(-1);
  heads.forEach((head, column) => {
    const entries = isEntry[column] ? [...new Set(rows.map(([row]) => row.cells[column].textContent.trim()))] : [];
    for (const entry of entries.length <= 40 ? entries.filter(Boolean) : []) {
      const name = head.textContent.includes(" ") ? head.dataset.key : head.textContent;
      filter.querySelector("datalist").append(new Option("", `${name}=${entry}`));
    }
  });
  const test = ({ keys, isEntry, rows }, word) => {
    const [, key, wanted] = word.match(/^([^=]+)=(.+)$/) ?? [];
    const columns = isEntry.map((is, i) => (key === undefined ? is : keys[i].includes(key)));
    // A setting has no seed: what only the other table can be asked for does not change this one.
    const isHere = columns.includes(true), isKnown = parts.some((part) => part.keys.some((own) => own.includes(key)));
    if (key !== undefined && !isHere) return () => isKnown;
    const exact = (entries) => entries.some((entry, i) => columns[i] && same(entry, wanted ?? word));
    if (key !== undefined || rows.some(([, entries]) => exact(entries))) return exact;
    return (entries) => entries.some((entry) => entry.includes(word));
  };
  const update = () => {
    const words = plain(input.value).split(/\s+/).filter(Boolean);
    const counts = parts.map((part) => {
      const tests = words.map((word) => test(part, word));
      part.rows.forEach(([row, entries]) => { row.hidden = !tests.every((passes) => passes(entries)); });
      return `${part.rows.filter(([row]) => !row.hidden).length} of ${part.rows.length}`;
    });
    filter.querySelector("output").textContent = `${counts[0]} settings, ${counts[1]} runs`;
  };
  input.addEventListener("input", update);
  filter.hidden = false;
  update();
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((entry) => { entry.open = true; }));
