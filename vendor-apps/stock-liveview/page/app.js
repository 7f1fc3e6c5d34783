const socket = new WebSocket(location.origin.replace("http", "ws"));
socket.addEventListener("message", ({ data }) => {
  const { prices } = JSON.parse(data);
  const list = /** @type {HTMLElement} */ (document.getElementById("prices"));
  list.replaceChildren(
    ...prices.map((/** @type {{company: string, avgPrice: number}} */ { company, avgPrice }) => {
      const line = document.createElement("p");
      line.textContent = `${company} ${avgPrice.toFixed(2)}`;
      return line;
    }),
  );
});
