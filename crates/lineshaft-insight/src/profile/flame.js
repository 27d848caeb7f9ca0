(() => {
  const svg = document.currentScript.closest("svg");
  const LEFT = 10, WIDTH = 1180, LETTER = 7;
  const number = (element, name) => Number(element.getAttribute(name));
  const cells = Array.from(svg.querySelectorAll(".cell"), (group) => {
    const rect = group.querySelector("rect");
    const place = { x: number(rect, "x"), y: number(rect, "y"), width: number(rect, "width") };
    return { group, rect, text: group.querySelector("text"), graph: group.parentNode, name: group.dataset.name, ...place };
  });

  function zoom(to) {
    const scale = WIDTH / to.width, end = to.x + to.width;
    for (const cell of cells) {
      if (cell.graph !== to.graph) continue;
      const middle = cell.x + cell.width / 2;
      const isAround = cell.y < to.y && cell.x <= to.x + 0.01 && cell.x + cell.width >= end - 0.01;
      const isShown = isAround || (cell.y >= to.y && middle >= to.x && middle <= end);
      cell.group.classList.toggle("hidden", !isShown);
      cell.group.classList.toggle("around", isAround);
      if (isShown) place(cell, isAround ? LEFT : LEFT + (cell.x - to.x) * scale, isAround ? WIDTH : cell.width * scale);
    }
  }

  function place(cell, x, width) {
    const room = Math.max(0, Math.floor((width - 6) / LETTER));
    cell.rect.setAttribute("x", x);
    cell.rect.setAttribute("width", width);
    cell.text.setAttribute("x", x + 3);
    const letters = Array.from(cell.name);
    const cut = room < 3 ? "" : letters.slice(0, room - 2).join("") + "..";
    cell.text.textContent = letters.length <= room ? cell.name : cut;
  }

  function search(word) {
    const wanted = word.toLowerCase(), parts = [];
    for (const graph of svg.querySelectorAll(".graph")) {
      let covered = 0, end = 0;
      const own = cells.filter((cell) => cell.graph === graph);
      const marked = own.filter((cell) => {
        const isMarked = wanted !== "" && cell.name.toLowerCase().includes(wanted);
        cell.group.classList.toggle("marked", isMarked);
        return isMarked;
      });
      // What is called inside of a match counts once.
      for (const cell of marked.sort((one, other) => one.x - other.x)) {
        covered += Math.max(0, cell.x + cell.width - Math.max(end, cell.x));
        end = Math.max(end, cell.x + cell.width);
      }
      parts.push(`${((100 * covered) / WIDTH).toFixed(1)} % of ${graph.dataset.name}`);
    }
    svg.querySelector(".found").textContent = wanted === "" ? "" : parts.join(", ");
  }

  for (const cell of cells) cell.group.addEventListener("click", () => zoom(cell));
  svg.querySelector("input").addEventListener("input", (event) => search(event.target.value));
})();
