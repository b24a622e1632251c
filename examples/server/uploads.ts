/** One picture out of a request: as the body itself, or as the file of a form. */

import multipart from '@fastify/multipart'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Admission } from './admission.js'
import { Problem } from './problem.js'

/** A form's own words around its file. */
const ENVELOPE_BYTES = 64 * 1024

/**
 * Teaches a scope the two forms of an upload, with their limits. Outside it bytes are no body: JSON
 * has a smaller limit, and validating megabytes as if they were JSON would hold the server up.
 */
export async function acceptUploads(
  scope: FastifyInstance,
  maxUpload: number,
  admission: Admission,
): Promise<void> {
  // Said at once where the client tells the length; while reading where it does not.
  scope.addHook('onRequest', async (request, reply) => {
    if (Number(request.headers['content-length'] ?? 0) > maxUpload + ENVELOPE_BYTES) {
      throw new Problem(413, 'TOO_LARGE', `an upload may have at most ${maxUpload} bytes`)
    }
    admission.enter(request, reply)
  })
  const raw = /^(image\/[\w.+-]+|application\/octet-stream)$/
  const options = { parseAs: 'buffer', bodyLimit: maxUpload } as const
  scope.addContentTypeParser(raw, options, (_request, body, done) => done(null, body))
  await scope.register(multipart, {
    limits: { files: 1, fileSize: maxUpload, fields: 10, fieldSize: 1024, parts: 11 },
  })
}

/** The bytes of the picture. @throws Problem 400 without one, 413 above the limit */
export async function uploadedPicture(request: FastifyRequest): Promise<Uint8Array> {
  if (Buffer.isBuffer(request.body)) return nonEmpty(request.body)
  if (!request.isMultipart()) throw missing()
  return nonEmpty(await fileOf(request))
}

async function fileOf(request: FastifyRequest): Promise<Buffer> {
  // Of a request that was cut off the parser would wait for the rest for ever.
  if (request.raw.destroyed) throw new Problem(400, 'FORM', 'the request was cut off')
  try {
    const file = await request.file()
    if (file === undefined) throw missing()
    return await file.toBuffer()
  } catch (error) {
    // The parser's limits have a status; what else goes wrong there is a form that is none.
    if (error instanceof Error && 'statusCode' in error) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new Problem(400, 'FORM', `the form cannot be read: ${reason}`)
  }
}

function nonEmpty(bytes: Buffer): Uint8Array {
  if (bytes.length === 0) throw missing()
  return bytes
}

function missing(): Problem {
  const forms = 'the body of an image/* request, or the file of a multipart form'
  return new Problem(400, 'PICTURE', `a picture is missing: send it as ${forms}`)
}
