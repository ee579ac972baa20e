"use strict";
// [name, address] of every picture, each once.
const pictures = JSON.parse(document.getElementById("pictures").textContent);
function fill(image) {
  const [name, address] = pictures[Number(image.dataset.picture)];
  image.alt = name;
  image.title = name;
  if (address) image.src = address;
}
document.querySelectorAll("img[data-picture]").forEach(fill);
const dialog = document.querySelector("dialog");
// The pictures of a cell of the matrix.
document.querySelectorAll("button[data-pictures]").forEach((button) => {
  button.addEventListener("click", () => {
    dialog.querySelector("h3").textContent = button.title;
    const shown = button.dataset.pictures.split(" ").filter(Boolean).map((place) => {
      const figure = document.createElement("figure");
      figure.className = "picture";
      const image = document.createElement("img");
      image.dataset.picture = place;
      fill(image);
      const caption = document.createElement("figcaption");
      caption.textContent = image.alt;
      figure.append(image, caption);
      return figure;
    });
    dialog.querySelector(".pictures").replaceChildren(...shown);
    dialog.showModal();
  });
});
