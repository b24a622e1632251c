/** Lists of pictures: those to choose from, and those found alike. */

import type { FoundPicture } from '../../src/api.js'

/** Fills a list with pictures that can be chosen. */
export function showChoices(
  list: Element,
  pictures: readonly FoundPicture[],
  choose: (picture: FoundPicture) => void,
): void {
  const buttons = pictures.map((picture) => {
    const button = document.createElement('button')
    button.type = 'button'
    button.setAttribute('aria-pressed', 'false')
    button.append(imageOf(picture))
    button.addEventListener('click', () => {
      for (const other of buttons) other.setAttribute('aria-pressed', String(other === button))
      choose(picture)
    })
    return button
  })
  list.replaceChildren(...buttons.map((button) => itemOf(button)))
}

/** Fills a list with found pictures and their similarities. */
export function showFound(list: Element, pictures: readonly FoundPicture[]): void {
  list.replaceChildren(
    ...pictures.map((picture) => {
      const similarity = document.createElement('small')
      similarity.textContent = picture.similarity.toFixed(3)
      return itemOf(imageOf(picture), similarity)
    }),
  )
}

function imageOf({ name, url }: FoundPicture): HTMLImageElement {
  const image = document.createElement('img')
  image.src = url
  image.alt = name
  image.title = name
  return image
}

function itemOf(...children: Node[]): HTMLLIElement {
  const item = document.createElement('li')
  item.append(...children)
  return item
}
