// Puts a fault into a source text.

/**
 * @param {string} text
 * @param {[from: string, to: string][]} edits
 * @returns {string}
 */
export function withFault(text, edits) {
  return edits.reduce((changed, [from, to]) => {
    const places = [...changed.matchAll(pattern(from))]
    if (places.length !== 1) throw new Error(`"${from}" is there ${places.length} times, not once`)
    const [{ index, 0: found }] = places
    return changed.slice(0, index) + to + changed.slice(index + found.length)
  }, text)
}

/** The words as they are, with any white space between them: a formatter may break lines anew. */
function pattern(from) {
  const words = from.trim().split(/\s+/)
  return new RegExp(words.map(escaped).join('\\s+'), 'g')
}

function escaped(word) {
  return word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
