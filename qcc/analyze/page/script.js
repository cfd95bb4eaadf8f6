"use strict";
// Without this script everything is there as well: it sorts, filters, zooms and opens.
(() => {
  const table = document.getElementById("ops"), filter = document.getElementById("filter");
  const rows = table ? [...table.tBodies[0].rows] : [];
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
    table.tBodies[0].append(...rows);
  };
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length} ops`;
  };
  if (table) {
    [...table.tHead.rows[0].cells].forEach((header, column) =>
      header.querySelector("button").addEventListener("click", () => sort(column, header)));
    filter.addEventListener("input", show);
    show();
  }

  const wide = new ResizeObserver((entries) => {
    for (const { target } of entries)
      target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth;
  });
  document.querySelectorAll(".scroll").forEach((frame) => wide.observe(frame));

  const zooming = (frame) => {
    const canvas = frame.querySelector(".canvas"), picture = canvas.querySelector("svg");
    const width = picture.width.baseVal.value, height = picture.height.baseVal.value;
    let zoom = 1, held = null, moved = false;
    // The point of the picture at (left, top) of its frame stays where it is.
    const scale = (wanted, left = canvas.clientWidth / 2, top = canvas.clientHeight / 2) => {
      const x = (canvas.scrollLeft + left) / zoom, y = (canvas.scrollTop + top) / zoom;
      zoom = Math.min(Math.max(wanted, 0.05), 4);
      picture.setAttribute("width", width * zoom);
      picture.setAttribute("height", height * zoom);
      canvas.scrollLeft = x * zoom - left;
      canvas.scrollTop = y * zoom - top;
    };
    const fit = () => scale(Math.min(canvas.clientWidth / width, canvas.clientHeight / height, 1));
    for (const button of frame.querySelectorAll("[data-zoom]"))
      button.addEventListener("click", () => (Number(button.dataset.zoom) ? scale(zoom * Number(button.dataset.zoom)) : fit()));
    // With Ctrl, and so by two fingers on a touchpad: a wheel alone goes on through the page.
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const at = canvas.getBoundingClientRect();
      scale(zoom * Math.exp(-event.deltaY / 300), event.clientX - at.left, event.clientY - at.top);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      moved = false;
      if (event.button === 0 && event.pointerType === "mouse") held = [event.clientX, event.clientY, canvas.scrollLeft, canvas.scrollTop];
    });
    // Who moves the picture by one of its boxes does not follow the box's link.
    canvas.addEventListener("dragstart", (event) => event.preventDefault());
    canvas.addEventListener("click", (event) => { if (moved) event.preventDefault(); }, true);
    // Two fingers zoom the picture, one moves it as the browser does.
    let apart = 0;
    canvas.addEventListener("touchmove", (event) => {
      if (event.touches.length !== 2) return;
      event.preventDefault();
      const [one, two] = event.touches, at = canvas.getBoundingClientRect();
      const now = Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
      if (apart) scale(zoom * now / apart, (one.clientX + two.clientX) / 2 - at.left, (one.clientY + two.clientY) / 2 - at.top);
      apart = now;
    }, { passive: false });
    for (const end of ["touchstart", "touchend", "touchcancel"]) canvas.addEventListener(end, () => { apart = 0; });
    window.addEventListener("pointermove", (event) => {
      if (!held) return;
      moved ||= Math.hypot(event.clientX - held[0], event.clientY - held[1]) > 4;
      canvas.classList.add("held");
      canvas.scrollLeft = held[2] - (event.clientX - held[0]);
      canvas.scrollTop = held[3] - (event.clientY - held[1]);
    });
    window.addEventListener("pointerup", () => { held = null; canvas.classList.remove("held"); });
    // What is closed has no width yet.
    let begun = false;
    return () => {
      if (begun || !canvas.clientWidth) return;
      begun = true;
      if (width > canvas.clientWidth) scale(Math.max(canvas.clientWidth / width, 0.6));
      canvas.scrollLeft = (width * zoom - canvas.clientWidth) / 2;
      canvas.scrollTop = 0;
    };
  };
  const begins = [...document.querySelectorAll(".frame")].map(zooming);
  const begin = () => begins.forEach((one) => one());
  document.querySelectorAll("details").forEach((one) => one.addEventListener("toggle", begin));
  begin();

  // From the table to the picture: its block opens, and the node comes to the middle of its frame.
  const centre = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const closed = target.closest("details"), canvas = target.closest(".canvas");
    if (closed) closed.open = true;
    begin();
    if (canvas) {
      const node = target.getBoundingClientRect(), frame = canvas.getBoundingClientRect();
      canvas.scrollLeft += node.left + node.width / 2 - frame.left - frame.width / 2;
      canvas.scrollTop += node.top + node.height / 2 - frame.top - frame.height / 2;
      canvas.scrollIntoView({ block: "nearest" });
    } else if (target.hidden) {
      filter.value = "";
      show();
      target.scrollIntoView({ block: "center" });
    } else if (closed) {
      closed.scrollIntoView({ block: "nearest" });
    }
  };
  window.addEventListener("hashchange", centre);
  centre();
})();
