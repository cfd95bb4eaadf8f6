"use strict";
// Without this script everything is there as well: it sorts, filters and zooms.
(() => {
  const table = document.getElementById("ops");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const number = (cell) => (cell.dataset.value === undefined ? NaN : Number(cell.dataset.value.replace("inf", "Infinity")));
  const sort = (column, header) => {
    const up = header.getAttribute("aria-sort") === "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    rows.sort((left, right) => {
      const a = left.cells[column], b = right.cells[column];
      if (column === 0) return sign * a.dataset.value.localeCompare(b.dataset.value, "en", { numeric: true });
      const x = number(a), y = number(b);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return x === y ? 0 : sign * (x < y ? -1 : 1);
    });
    body.append(...rows);
  };
  [...table.tHead.rows[0].cells].forEach((header, column) =>
    header.querySelector("button").addEventListener("click", () => sort(column, header)));

  const filter = document.getElementById("filter"), count = document.getElementById("count");
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} ops`;
  };
  filter.addEventListener("input", show);
  show();

  const canvas = document.getElementById("canvas"), picture = document.getElementById("network-picture");
  const width = picture.width.baseVal.value, height = picture.height.baseVal.value;
  let zoom = 1;
  const scale = (wanted) => {
    const x = (canvas.scrollLeft + canvas.clientWidth / 2) / zoom, y = (canvas.scrollTop + canvas.clientHeight / 2) / zoom;
    zoom = Math.min(Math.max(wanted, 0.05), 4);
    picture.setAttribute("width", width * zoom);
    picture.setAttribute("height", height * zoom);
    canvas.scrollLeft = x * zoom - canvas.clientWidth / 2;
    canvas.scrollTop = y * zoom - canvas.clientHeight / 2;
  };
  const fit = () => scale(Math.min(canvas.clientWidth / width, canvas.clientHeight / height, 1));
  for (const button of document.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => (Number(button.dataset.zoom) ? scale(zoom * Number(button.dataset.zoom)) : fit()));
  if (width > canvas.clientWidth) scale(Math.max(canvas.clientWidth / width, 0.6));
  canvas.scrollLeft = (width * zoom - canvas.clientWidth) / 2;
  canvas.scrollTop = 0;

  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.pointerType === "mouse") held = [event.clientX, event.clientY, canvas.scrollLeft, canvas.scrollTop];
  });
  window.addEventListener("pointermove", (event) => {
    if (!held) return;
    canvas.classList.add("held");
    canvas.scrollLeft = held[2] - (event.clientX - held[0]);
    canvas.scrollTop = held[3] - (event.clientY - held[1]);
  });
  window.addEventListener("pointerup", () => { held = null; canvas.classList.remove("held"); });

  // From the table to the picture: the node comes to the middle of its frame, too.
  const centre = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("#canvas")) {
      const node = target.getBoundingClientRect(), frame = canvas.getBoundingClientRect();
      canvas.scrollLeft += node.left + node.width / 2 - frame.left - frame.width / 2;
      canvas.scrollTop += node.top + node.height / 2 - frame.top - frame.height / 2;
      canvas.scrollIntoView({ block: "nearest" });
    } else if (target.hidden) {
      filter.value = "";
      show();
      target.scrollIntoView({ block: "center" });
    }
  };
  window.addEventListener("hashchange", centre);
  centre();
})();
