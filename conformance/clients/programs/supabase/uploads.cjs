// Every form in which supabase-js uploads, by every door it has: upload, update, a signed URL.
const assert = require('node:assert/strict')
const { Readable } = require('node:stream')
const { test } = require('node:test')
const { settings, service, anon, alice, bob, stranger, fresh, makeBucket, good, bad } = require('./harness.cjs')

const text = 'Grüße, 世界'
const bytes = Buffer.from(text)
const stored = async (bucket, key) => {
  const blob = good(await service.from(bucket).download(key))
  return [Buffer.from(await blob.arrayBuffer()).toString(), blob.type, good(await service.from(bucket).info(key)).cacheControl]
}
const formOf = (file, fields = {}) => {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  form.append('', file)
  return form
}

// what is uploaded, the type it has afterwards, and what the options say of it
const bodies = {
  string: () => [text, 'text/plain;charset=UTF-8', {}],
  Buffer: () => [bytes, 'application/x-buffer', { contentType: 'application/x-buffer' }],
  ArrayBuffer: () => [new Uint8Array(bytes).buffer, 'image/png', { contentType: 'image/png' }],
  ArrayBufferView: () => [new Uint8Array(bytes), 'image/png', { contentType: 'image/png' }],
  'ArrayBuffer from base64': () => [Uint8Array.from(atob(bytes.toString('base64')), (c) => c.charCodeAt(0)).buffer, 'image/gif', { contentType: 'image/gif' }],
  Blob: () => [new Blob([bytes], { type: 'text/css' }), 'text/css', {}],
  File: () => [new File([bytes], 'näme.txt', { type: 'text/markdown' }), 'text/markdown', {}],
  FormData: () => [formOf(new Blob([bytes], { type: 'text/csv' })), 'text/csv', {}],
  'Node stream': () => [Readable.from([bytes.subarray(0, 5), bytes.subarray(5)]), 'application/x-stream', { contentType: 'application/x-stream' }],
  'web stream': () => [new Blob([bytes]).stream(), 'application/x-web', { contentType: 'application/x-web' }],
  URLSearchParams: () => [new URLSearchParams({ a: 'b c' }), 'application/x-www-form-urlencoded', { contentType: 'application/x-www-form-urlencoded' }, 'a=b+c'],
}

for (const [kind, make] of Object.entries(bodies)) {
  test(`upload, update and uploadToSignedUrl of a ${kind}`, async () => {
    const bucket = await makeBucket()
    const files = service.from(bucket)
    const key = 'folder/file ü.txt'
    for (const [seconds, send] of [
      ['3600', (body, options) => files.upload(key, body, options)],
      ['60', (body, options) => files.update(key, body, { ...options, cacheControl: '60' })],
      ['7', async (body, options) => {
        const { token } = good(await files.createSignedUploadUrl(key, { upsert: true }))
        return anon.from(bucket).uploadToSignedUrl(key, token, body, { ...options, cacheControl: '7' })
      }],
    ]) {
      const [body, type, options, content = text] = make()
      const data = good(await send(body, options))
      assert.deepEqual([data.path, data.fullPath], [key, `${bucket}/${key}`])
      const [found, foundType, foundLifetime] = await stored(bucket, key)
      assert.deepEqual([found, foundType.toLowerCase(), foundLifetime], [content, type.toLowerCase(), `max-age=${seconds}`])
    }
  })
}

test('upload gives back an id that info and list know', async () => {
  const files = service.from(await makeBucket())
  const { id } = good(await files.upload('a/b.txt', text))
  assert.equal(good(await files.info('a/b.txt')).id, id)
  assert.equal(good(await files.list('a'))[0].id, id)
})

test('upload tidies slashes in its path', async () => {
  const files = service.from(await makeBucket())
  assert.equal(good(await files.upload('/a//b/', text)).path, 'a/b')
  assert.equal(good(await files.info('/a/b')).name, 'a/b')
})

test('upload of nothing, and of what is larger than one packet', async () => {
  const bucket = await makeBucket()
  const files = service.from(bucket)
  for (const empty of ['', new Blob([]), Buffer.alloc(0)]) good(await files.upload('empty', empty, { upsert: true }))
  assert.equal(good(await files.info('empty')).size, 0)
  const large = Buffer.alloc(1_500_000, 'row')
  good(await files.upload('large', Readable.from(large.toString().match(/[^]{65536}|[^]+$/g))))
  assert.ok(Buffer.from(await good(await files.download('large')).arrayBuffer()).equals(large))
})

test('metadata of a raw body and of a form', async () => {
  const files = service.from(await makeBucket())
  const metadata = { plain: 'x', 'ünicode': '世界', nested: { list: [1, null, true] } }
  for (const [key, body] of [['raw', text], ['blob', new Blob([text])], ['form', formOf(new Blob([text]))]]) {
    good(await files.upload(key, body, { metadata }))
    const found = good(await files.info(key)).metadata
    assert.deepEqual([found.plain, found['ünicode'] ?? found[Object.keys(found)[1]], found.nested], ['x', '世界', metadata.nested])
  }
  good(await files.upload('none', text))
  assert.deepEqual(good(await files.info('none')).metadata, {})
  good(await files.upload('form wins', formOf(new Blob([text]), { metadata: '{"a":"form"}', cacheControl: '5' }), { metadata: { a: 'option' } }))
  const info = good(await files.info('form wins'))
  assert.deepEqual([info.metadata.a, info.cacheControl], ['form', 'max-age=5'])
})

test('contentEncoding of a raw body and of a form is kept', async () => {
  const bucket = await makeBucket({ public: true })
  const files = service.from(bucket)
  const zipped = require('node:zlib').gzipSync(text)
  for (const [key, body] of [['raw', zipped], ['form', new Blob([zipped], { type: 'text/plain' })]]) {
    good(await files.upload(key, body, { contentEncoding: 'gzip' }))
    const answer = await fetch(files.getPublicUrl(key).data.publicUrl)
    assert.equal(answer.headers.get('content-encoding'), 'gzip')
    assert.equal(await answer.text(), text)
    assert.equal(good(await files.info(key)).contentEncoding, 'gzip')
  }
})

test('headers of an upload are sent', async () => {
  const files = service.from(await makeBucket())
  good(await files.upload('a', text, { headers: { 'X-Robots-Tag': 'all', 'cache-control': 'private' } }))
  const { signedUrl } = good(await files.createSignedUrl('a', 60))
  assert.equal((await fetch(signedUrl)).headers.get('x-robots-tag'), 'all')
  assert.equal(good(await files.info('a')).cacheControl, 'private')
})

test('upload without upsert leaves what is there; with it replaces', async () => {
  const files = service.from(await makeBucket())
  good(await files.upload('a', 'first'))
  bad(await files.upload('a', 'second'), '409', 'KeyAlreadyExists', 'The resource already exists')
  bad(await files.upload('a', new Blob(['second'])), '409', 'KeyAlreadyExists')
  assert.equal(await good(await files.download('a')).text(), 'first')
  good(await files.upload('a', 'third', { upsert: true }))
  assert.equal(await good(await files.download('a')).text(), 'third')
})

test('update of what is not there makes it', async () => {
  const files = service.from(await makeBucket())
  good(await files.update('new', text))
  assert.equal(await good(await files.download('new')).text(), text)
})

test('uploads to a bucket that is not there, and under no name', async () => {
  const nowhere = service.from(fresh())
  for (const method of ['upload', 'update']) bad(await nowhere[method]('a', text), '404', 'NoSuchBucket', 'Bucket not found')
  bad(await nowhere.createSignedUploadUrl('a'), '404', 'NoSuchBucket')
  const { error } = await service.from(await makeBucket()).upload('', text)
  assert.equal(error.statusCode, '404')
})

test('the limits of a bucket hold for every form', async () => {
  const files = service.from(await makeBucket({ public: false, fileSizeLimit: 10, allowedMimeTypes: ['image/*', 'text/plain'] }))
  const long = 'x'.repeat(11)
  const said = 'The object exceeded the maximum allowed size'
  for (const body of [long, new Blob([long], { type: 'text/plain' }), Readable.from([long])]) {
    bad(await files.upload('a', body, { contentType: 'text/plain' }), '413', 'EntityTooLarge', said)
    bad(await files.update('a', typeof body.pipe === 'function' ? Readable.from([long]) : body, { contentType: 'text/plain' }), '413', 'EntityTooLarge', said)
  }
  bad(await files.upload('a', 'x', { contentType: 'application/json' }), '415', 'InvalidMimeType', 'mime type application/json is not supported')
  bad(await files.upload('a', new Blob(['x'], { type: 'video/mp4' })), '415', 'InvalidMimeType', 'mime type video/mp4 is not supported')
  const { token } = good(await files.createSignedUploadUrl('a'))
  bad(await anon.from(files.bucketId).uploadToSignedUrl('a', token, long), '413', 'EntityTooLarge')
  assert.deepEqual(good(await files.list()), [])
  good(await files.upload('a', 'x'.repeat(10), { contentType: 'image/anything' }))
})

test('policies decide about uploads, by the caller and by the folder', async () => {
  const { sharedBucket, aliceId, bobId } = settings
  const mine = `${aliceId}/${fresh()}`
  good(await alice.from(sharedBucket).upload(mine, text))
  good(await alice.from(sharedBucket).update(mine, text))
  const said = 'new row violates row-level security policy'
  for (const caller of [anon, bob]) {
    for (const method of ['upload', 'update']) bad(await caller.from(sharedBucket)[method](`${aliceId}/${fresh()}`, text), '403', 'AccessDenied', said)
    bad(await caller.from(sharedBucket).createSignedUploadUrl(`${aliceId}/${fresh()}`), '403', 'AccessDenied', said)
  }
  bad(await alice.from(sharedBucket).upload(`${bobId}/x`, text), '403', 'AccessDenied', said)
  bad(await stranger.from(sharedBucket).upload(mine, text), '403', 'AccessDenied')
  assert.equal(good(await service.from(sharedBucket).list(aliceId, { search: mine.split('/')[1] })).length, 1)
})

test('createSignedUploadUrl makes a URL that is good for one object, and without upsert once', async () => {
  const { sharedBucket, aliceId } = settings
  const key = `${aliceId}/${fresh()} ü`
  const { signedUrl, token, path } = good(await alice.from(sharedBucket).createSignedUploadUrl(key))
  assert.equal(path, key)
  assert.equal(new URL(signedUrl).searchParams.get('token'), token)
  const files = anon.from(sharedBucket)
  bad(await files.uploadToSignedUrl(`${key}2`, token, text), '400', 'InvalidSignature')
  bad(await files.uploadToSignedUrl(key, `${token}x`, text), '400', 'InvalidJWT')
  good(await files.uploadToSignedUrl(key, token, text, { metadata: { by: 'url' } }))
  bad(await files.uploadToSignedUrl(key, token, text, { upsert: true }), '409', 'KeyAlreadyExists', 'The resource already exists')
  const info = good(await alice.from(sharedBucket).info(key))
  assert.equal(info.metadata.by, 'url')
  const [row] = good(await alice.from(sharedBucket).remove([key]))
  assert.equal(row.owner_id, aliceId)
})

test('createSignedUploadUrl over what is there wants upsert', async () => {
  const files = service.from(await makeBucket())
  good(await files.upload('a', 'first'))
  bad(await files.createSignedUploadUrl('a'), '409', 'KeyAlreadyExists')
  const { token } = good(await files.createSignedUploadUrl('a', { upsert: true }))
  for (const content of ['second', 'third']) good(await anon.from(files.bucketId).uploadToSignedUrl('a', token, content))
  assert.equal(await good(await files.download('a')).text(), 'third')
})

test('a token to download by uploads nothing', async () => {
  const files = service.from(await makeBucket())
  good(await files.upload('a', 'first'))
  const { signedUrl } = good(await files.createSignedUrl('a', 60))
  const token = new URL(signedUrl).searchParams.get('token')
  assert.equal((await files.uploadToSignedUrl('a', token, 'second')).error.statusCode, '400')
  assert.equal(await good(await files.download('a')).text(), 'first')
})

test('throwOnError of a file client', async () => {
  const files = service.from(fresh()).throwOnError()
  await assert.rejects(files.upload('a', text), { statusCode: '404', code: 'NoSuchBucket' })
  await assert.rejects(files.download('a'), { statusCode: '404' })
  await assert.rejects(files.download('a').asStream(), { statusCode: '404' })
})
