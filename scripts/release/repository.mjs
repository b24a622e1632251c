// The repository that package.json names. npm compares it with where the workflow ran, and without it refuses to
// attest a package.

/**
 * @param {Record<string, any>} manifest of any of our packages
 * @returns {string} its address
 */
export function repositoryUrl({ name, repository }) {
  const url = typeof repository === 'string' ? repository : repository?.url
  if (typeof url === 'string' && url !== '') return url
  throw new Error(
    `package.json of ${name} has no field "repository", without which npm refuses provenance; write into the repository's package.json "repository": { "type": "git", "url": "git+https://github.com/OWNER/NAME.git" }`,
  )
}

/** Whether an address is that of `OWNER/NAME`. @param {string} url @param {string} name */
export function isRepository(url, name) {
  const path = url.replace(/\.git$/, '').toLowerCase()
  return [`/${name}`, `:${name}`].some((end) => path.endsWith(end.toLowerCase()))
}
