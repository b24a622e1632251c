/** Markup from values: what is put into an `html` template is escaped unless it is markup itself. */

/** A piece of finished markup. */
export class Markup {
  /** The markup itself. */
  readonly text: string

  /** Takes text that is known to be markup; `html` is the usual way. */
  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

/** What may stand in a template: markup as it is, lists of it joined, everything else as text. */
export type Content = Markup | string | number | null | undefined | readonly Content[]

/** A template whose values cannot break out of their place. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Markup {
  let text = parts[0] ?? ''
  values.forEach((value, i) => {
    text += render(value) + (parts[i + 1] ?? '')
  })
  return new Markup(text)
}

/** Markup from a string that is known to be markup. */
export function trusted(text: string): Markup {
  return new Markup(text)
}

function render(value: Content): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Markup) return value.text
  if (typeof value === 'object') return value.map(render).join('')
  return escapeHtml(String(value))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}
