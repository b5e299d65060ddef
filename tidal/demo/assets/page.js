"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const chart = document.getElementById("chart");
  const plot = chart.querySelector(".plot");
  const cursor = chart.querySelector(".cursor");
  const tip = chart.querySelector(".tip");
  const days = data.values[0].length;
  const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const dayName = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" });
  let shown = -1;

  function show(day) {
    shown = Math.max(0, Math.min(days - 1, day));
    const share = shown / (days - 1);
    const head = document.createElement("p");
    head.textContent = dayName.format(new Date(Date.parse(data.first) + shown * 86400000));
    const order = data.names.map((_, i) => i).sort((a, b) => data.values[b][shown] - data.values[a][shown]);
    const rows = order.map((i) => {
      const row = document.createElement("div");
      const name = document.createElement("span");
      const value = document.createElement("b");
      name.textContent = data.names[i];
      value.textContent = number.format(data.values[i][shown]);
      row.className = "t" + data.colors[i];
      row.append(name, value);
      return row;
    });
    tip.replaceChildren(head, ...rows);
    cursor.hidden = tip.hidden = false;
    cursor.style.left = `${100 * share}%`;
    const room = plot.clientWidth - tip.offsetWidth;
    const wanted = share * plot.clientWidth + (share < 0.5 ? 14 : -14 - tip.offsetWidth);
    tip.style.left = `${Math.max(0, Math.min(room, wanted))}px`;
  }

  function hide() {
    shown = -1;
    cursor.hidden = tip.hidden = true;
  }

  function follow(event) {
    const box = plot.getBoundingClientRect();
    show(Math.round(((event.clientX - box.left) / box.width) * (days - 1)));
  }

  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -28, PageDown: 28 }[event.key];
    if (step) {
      show(shown < 0 ? days - 1 : shown + step);
      event.preventDefault();
    } else if (event.key === "Escape") {
      hide();
    }
  });

  chart.querySelectorAll(".end").forEach((label, i) => {
    const line = plot.querySelectorAll(".line")[i];
    label.addEventListener("pointerenter", () => {
      plot.classList.add("focus");
      line.classList.add("on");
    });
    label.addEventListener("pointerleave", () => {
      plot.classList.remove("focus");
      line.classList.remove("on");
    });
  });
})();
