// What supabase-js does with objects that are there: read, list, sign, copy, move, remove.
const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const { test } = require('node:test')
const { settings, service, anon, alice, bob, stranger, fresh, makeBucket, good, bad } = require('./harness.cjs')

const names = (rows) => rows.map((row) => row.name)

async function withFiles(keys, options) {
  const files = service.from(await makeBucket(options))
  for (const key of keys) good(await files.upload(key, `content of ${key}`))
  return files
}

test('download as a blob and as a stream', async () => {
  const files = await withFiles(['a/ü b.txt'])
  const blob = good(await files.download('a/ü b.txt'))
  assert.equal(await blob.text(), 'content of a/ü b.txt')
  const stream = good(await files.download('/a/ü b.txt').asStream())
  assert.equal(await new Response(stream).text(), 'content of a/ü b.txt')
  const nonced = good(await files.download('a/ü b.txt', { cacheNonce: 'x' }, { cache: 'no-store' }))
  assert.equal(nonced.size, blob.size)
})

test('then, catch and finally of a download', async () => {
  const files = await withFiles(['a'])
  assert.equal(await files.download('a').then(({ data }) => data.text()), 'content of a')
  assert.equal((await files.download('none').catch(() => 'thrown')).error.statusCode, '404')
  assert.equal((await files.download('a').asStream().catch(() => 'thrown')).error, null)
  let ends = 0
  await files.download('a').finally(() => ends++)
  await files.download('a').asStream().finally(() => ends++)
  assert.equal(ends, 2)
})

test('download of what is not there, or not to be seen', async () => {
  const files = await withFiles(['a'])
  bad(await files.download('b'), '404', 'NoSuchKey', 'Object not found')
  bad(await files.download('b').asStream(), '404', 'NoSuchKey', 'Object not found')
  bad(await service.from(fresh()).download('a'), '404', 'NoSuchBucket', 'Bucket not found')
  bad(await alice.from(files.bucketId).download('a'), '404', 'NoSuchKey')
  bad(await anon.from(files.bucketId).download('a'), '404', 'NoSuchKey')
  bad(await stranger.from(files.bucketId).download('a'), '404', 'NoSuchBucket')
})

test('an abort signal ends a download before it is sent', async () => {
  const files = await withFiles(['a'])
  const { error } = await files.download('a', {}, { signal: AbortSignal.abort() })
  assert.equal(error.name, 'StorageUnknownError')
  assert.equal(error.originalError.name, 'AbortError')
  const listing = await files.list('', {}, { signal: AbortSignal.abort() })
  assert.equal(listing.error.originalError.name, 'AbortError')
  assert.equal((await files.listV2({}, { signal: AbortSignal.abort() })).error.originalError.name, 'AbortError')
})

test('a policy lets one user read, and no other', async () => {
  const { sharedBucket, aliceId } = settings
  const key = `${aliceId}/${fresh()}`
  good(await alice.from(sharedBucket).upload(key, 'hers'))
  assert.equal(await good(await alice.from(sharedBucket).download(key)).text(), 'hers')
  for (const caller of [bob, anon]) bad(await caller.from(sharedBucket).download(key), '404', 'NoSuchKey')
  assert.deepEqual(good(await bob.from(sharedBucket).list(aliceId)), [])
  assert.ok(names(good(await alice.from(sharedBucket).list(aliceId))).includes(key.split('/')[1]))
})

test('info says everything of an object', async () => {
  const files = service.from(await makeBucket())
  good(await files.upload('d/a.txt', 'content', { contentType: 'text/plain', metadata: { a: 1 } }))
  const info = good(await files.info('d/a.txt'))
  assert.deepEqual(
    [info.name, info.bucketId, info.size, info.contentType, info.cacheControl, info.etag, info.metadata],
    ['d/a.txt', files.bucketId, 7, 'text/plain', 'max-age=3600', `"${createHash('md5').update('content').digest('hex')}"`, { a: 1 }]
  )
  for (const moment of [info.lastModified, info.createdAt]) assert.ok(Math.abs(new Date(moment) - Date.now()) < 60_000)
  assert.ok(info.id && info.version)
  assert.equal(info.updatedAt, undefined)
})

test('info of what is not there, or not to be seen', async () => {
  const files = await withFiles(['a'])
  bad(await files.info('b'), '404', 'NoSuchKey', 'Object not found')
  bad(await bob.from(files.bucketId).info('a'), '404', 'NoSuchKey')
  bad(await stranger.from(files.bucketId).info('a'), '404', 'NoSuchBucket')
})

test('exists is true, or false, and throws where neither is known', async () => {
  const files = await withFiles(['a'])
  assert.deepEqual(await files.exists('a'), { data: true, error: null })
  const { data, error } = await files.exists('b')
  assert.deepEqual([data, error.code], [false, 'NoSuchKey'])
  assert.equal((await bob.from(files.bucketId).exists('a')).data, false)
  await assert.rejects(service.from(fresh()).exists('a'), { code: 'NoSuchBucket' })
})

test('getPublicUrl of a public bucket opens for everybody', async () => {
  const files = await withFiles(['a/ü b.txt'], { public: true })
  const url = (options) => files.getPublicUrl('a/ü b.txt', options).data.publicUrl
  assert.equal(await (await fetch(url())).text(), 'content of a/ü b.txt')
  assert.equal((await fetch(url({ download: true }))).headers.get('content-disposition'), 'attachment;')
  const named = await fetch(url({ download: 'ü;".txt', cacheNonce: '1' }))
  assert.equal(named.headers.get('content-disposition'), "attachment; filename=%C3%BC%3B%22.txt; filename*=UTF-8''%C3%BC%3B%22.txt")
  assert.equal(await good(await anon.from(files.bucketId).download('a/ü b.txt')).text(), 'content of a/ü b.txt')
})

test('getPublicUrl of a private bucket opens for nobody', async () => {
  const files = await withFiles(['a'])
  const answer = await fetch(files.getPublicUrl('a').data.publicUrl)
  assert.deepEqual([answer.status, (await answer.json()).code], [400, 'NoSuchBucket'])
})

test('createSignedUrl opens one object without a token of its own', async () => {
  const files = await withFiles(['a/ü b.txt', 'c'])
  const { signedUrl } = good(await files.createSignedUrl('a/ü b.txt', 60))
  const answer = await fetch(signedUrl)
  assert.equal(await answer.text(), 'content of a/ü b.txt')
  assert.ok(Math.abs(new Date(answer.headers.get('expires')) - Date.now() - 60_000) < 5_000)
  for (const [download, disposition] of [[true, 'attachment;'], ['n.txt', "attachment; filename=n.txt; filename*=UTF-8''n.txt"]]) {
    const url = good(await files.createSignedUrl('c', 60, { download, cacheNonce: 'x' })).signedUrl
    assert.equal((await fetch(url)).headers.get('content-disposition'), disposition)
  }
  assert.equal((await fetch(signedUrl.replace('/a/', '/A/'))).status, 400)
})

test('a signed URL ends with its time', async () => {
  const files = await withFiles(['a'])
  const { signedUrl } = good(await files.createSignedUrl('a', 1))
  assert.equal((await fetch(signedUrl)).status, 200)
  await new Promise((resolve) => setTimeout(resolve, 2100))
  const answer = await fetch(signedUrl)
  assert.deepEqual([answer.status, (await answer.json()).code], [400, 'ExpiredToken'])
})

test('createSignedUrl of what is not there, not to be seen, or for no time', async () => {
  const files = await withFiles(['a'])
  bad(await files.createSignedUrl('b', 60), '404', 'NoSuchKey')
  bad(await bob.from(files.bucketId).createSignedUrl('a', 60), '404', 'NoSuchKey')
  bad(await files.createSignedUrl('a', 0), '400', 'InvalidRequest', 'body/expiresIn must be >= 1')
})

test('createSignedUrls answers for each path in its order', async () => {
  const files = await withFiles(['a', 'b ü'])
  const answers = good(await files.createSignedUrls(['b ü', 'none', 'a'], 60, { download: 'x' }))
  assert.deepEqual(answers.map(({ path, error }) => [path, error]), [
    ['b ü', null], ['none', 'Either the object does not exist or you do not have access to it'], ['a', null],
  ])
  assert.equal(answers[1].signedUrl, null)
  assert.equal(await (await fetch(answers[0].signedUrl)).text(), 'content of b ü')
  assert.deepEqual(good(await bob.from(files.bucketId).createSignedUrls(['a'], 60)).map((each) => each.signedUrl), [null])
  bad(await files.createSignedUrls([], 60), '400', 'InvalidRequest')
})

test('list shows a folder: names, folders, order, pages, search', async () => {
  const files = await withFiles(['f/b', 'f/a', 'f/sub/x', 'f/sub/y', 'f/c%25_', 'g'])
  const rows = good(await files.list('f'))
  assert.deepEqual(names(rows).sort(), ['a', 'b', 'c%_', 'sub'])
  const folder = rows.find((row) => row.name === 'sub')
  assert.deepEqual([folder.id, folder.metadata, folder.created_at, folder.updated_at, folder.last_accessed_at], [null, null, null, null, null])
  const file = rows.find((row) => row.name === 'a')
  assert.deepEqual(
    [file.metadata.size, file.metadata.mimetype, file.metadata.cacheControl, file.metadata.contentLength, file.metadata.httpStatusCode],
    [14, 'text/plain;charset=UTF-8', 'max-age=3600', 14, 200]
  )
  assert.match(file.metadata.eTag, /^"[0-9a-f]{32}"$/)
  assert.deepEqual(names(good(await files.list('f', { sortBy: { column: 'name', order: 'desc' }, limit: 2 }))), ['sub', 'c%_'])
  assert.deepEqual(names(good(await files.list('f', { limit: 2, offset: 1 }))), ['b', 'c%_'])
  assert.deepEqual(names(good(await files.list('f', { search: 'c%_' }))), ['c%_'])
  assert.deepEqual(good(await files.list('f', { search: '%%' })), [])
  assert.deepEqual(names(good(await files.list('f', { sortBy: { column: 'created_at' } }))).filter((name) => name !== 'sub'), ['b', 'a', 'c%_'])
  assert.deepEqual(names(good(await files.list())).sort(), ['f', 'g'])
  assert.deepEqual(good(await files.list('nothing')), [])
})

test('list of what is not there, or of nonsense', async () => {
  bad(await service.from(fresh()).list(), '404', 'NoSuchBucket')
  bad(await service.from(await makeBucket()).list('', { sortBy: { column: 'owner' } }), '400', 'InvalidRequest')
  bad(await stranger.from(await makeBucket()).list(), '403', 'AccessDenied')
})

test('listV2 pages through every key once, in every order', async () => {
  const keys = ['a', 'b/1', 'b/2', 'c', 'd/e/f', 'd/g', 'h']
  const files = await withFiles(keys)
  for (const column of ['name', 'created_at', 'updated_at']) {
    for (const order of ['asc', 'desc']) {
      const found = []
      let cursor
      do {
        const page = good(await files.listV2({ limit: 2, cursor, sortBy: { column, order } }))
        found.push(...names(page.objects))
        assert.equal(page.hasNext, page.nextCursor !== undefined)
        cursor = page.nextCursor
      } while (cursor)
      assert.deepEqual(found, order === 'asc' ? keys : keys.toReversed(), `${column} ${order}`)
    }
  }
})

test('listV2 with a prefix and a delimiter', async () => {
  const files = await withFiles(['a', 'b/1', 'b/2', 'b/c/3', 'b%25'])
  assert.deepEqual(names(good(await files.listV2({ prefix: 'b' })).objects), ['b%', 'b/1', 'b/2', 'b/c/3'])
  assert.deepEqual(names(good(await files.listV2({ prefix: 'b%' })).objects), ['b%'])
  const page = good(await files.listV2({ prefix: 'b/', with_delimiter: true }))
  assert.deepEqual(page.folders, [{ key: 'c', name: 'b/c/' }])
  assert.deepEqual(page.objects.map(({ key, name }) => [key, name]), [['1', 'b/1'], ['2', 'b/2']])
  assert.equal(page.objects[0].metadata.size, 14)
})

test('listV2 of what is not there, or of nonsense', async () => {
  bad(await service.from(fresh()).listV2(), '404', 'NoSuchBucket')
  const files = service.from(await makeBucket())
  bad(await files.listV2({ cursor: 'nonsense' }), '400', 'InvalidParameter')
  bad(await files.listV2({ sortBy: { column: 'size' } }), '400', 'InvalidRequest')
  assert.deepEqual(good(await bob.from(files.bucketId).listV2()).objects, [])
})

test('move within a bucket and to another, by row', async () => {
  const files = await withFiles(['a', 'taken'])
  const { id, version } = good(await files.info('a'))
  const answer = good(await files.move('a', 'b/ü'))
  assert.equal(answer.message, 'Successfully moved')
  assert.equal(good(await files.info('b/ü')).id, id)
  assert.ok(version)
  const other = await makeBucket()
  good(await files.move('b/ü', 'c', { destinationBucket: other }))
  assert.equal(await good(await service.from(other).download('c')).text(), 'content of a')
  assert.equal((await files.exists('b/ü')).data, false)
  bad(await files.move('none', 'x'), '404', 'NoSuchKey')
  bad(await service.from(other).move('c', 'taken', { destinationBucket: files.bucketId }), '409', 'KeyAlreadyExists')
})

test('move is decided by policies at both ends', async () => {
  const { sharedBucket, aliceId, bobId } = settings
  const files = alice.from(sharedBucket)
  const [from, to] = [`${aliceId}/${fresh()}`, `${aliceId}/${fresh()}`]
  good(await files.upload(from, 'hers'))
  bad(await bob.from(sharedBucket).move(from, `${bobId}/x`), '404', 'NoSuchKey')
  bad(await files.move(from, `${bobId}/x`), '403', 'AccessDenied')
  good(await files.move(from, to))
  good(await files.copy(to, from))
  bad(await files.copy(to, `${bobId}/x`), '403', 'AccessDenied')
})

test('copy takes the metadata along, or what it is given', async () => {
  const files = service.from(await makeBucket())
  good(await files.upload('a', 'content', { contentType: 'text/css', cacheControl: '5', metadata: { a: 1 } }))
  assert.equal(good(await files.copy('a', 'b/ü')).path, `${files.bucketId}/b/ü`)
  let info = good(await files.info('b/ü'))
  assert.deepEqual([info.contentType, info.cacheControl, info.metadata], ['text/css', 'max-age=5', { a: 1 }])
  const other = await makeBucket()
  good(await files.copy('a', 'c', { destinationBucket: other, copyMetadata: false, metadata: { mimetype: 'text/csv', cacheControl: 'no-store', contentEncoding: 'br' } }))
  info = good(await service.from(other).info('c'))
  assert.deepEqual([info.contentType, info.cacheControl, info.contentEncoding, info.metadata], ['text/csv', 'no-store', 'br', {}])
  assert.equal(good(await files.list()).length, 2)
})

test('copy of what is not there, to what is there, to nowhere', async () => {
  const files = await withFiles(['a', 'b'])
  bad(await files.copy('none', 'c'), '404', 'NoSuchKey')
  bad(await files.copy('a', 'b'), '409', 'KeyAlreadyExists', 'The resource already exists')
  bad(await files.copy('a', 'b', { destinationBucket: fresh() }), '404', 'NoSuchBucket')
  bad(await bob.from(files.bucketId).copy('a', 'c'), '404', 'NoSuchKey')
  assert.equal(await good(await files.download('b')).text(), 'content of b')
})

test('copy with the header x-upsert replaces', async () => {
  const files = await withFiles(['a', 'b'])
  good(await service.from(files.bucketId).setHeader('X-Upsert', 'true').copy('a', 'b'))
  assert.equal(await good(await files.download('b')).text(), 'content of a')
})

test('remove gives back what is gone, and leaves what is not his', async () => {
  const files = await withFiles(['a', 'b/ü', 'c'])
  assert.deepEqual(good(await bob.from(files.bucketId).remove(['a'])), [])
  const rows = good(await files.remove(['a', 'b/ü', 'none']))
  assert.deepEqual(names(rows).sort(), ['a', 'b/ü'])
  assert.equal(rows[0].bucket_id, files.bucketId)
  assert.deepEqual(names(good(await files.list())), ['c'])
  bad(await files.remove([]), '400', 'InvalidRequest')
  bad(await stranger.from(files.bucketId).remove(['c']), '403', 'AccessDenied')
})

test('a version of an object: read, described, signed, copied, removed', async () => {
  const files = service.from(await makeBucket({ public: true, versioningStatus: 'ENABLED' }))
  const versions = []
  for (const content of ['first', 'second']) {
    good(await files.upload('a', content, { upsert: true }))
    versions.push(good(await files.info('a')).version)
  }
  const [versionId] = versions
  assert.notEqual(...versions)
  assert.equal(await good(await files.download('a')).text(), 'second')
  assert.equal(await good(await files.download('a', { versionId })).text(), 'first')
  assert.equal(good(await files.info('a', { versionId })).size, 5)
  assert.equal(await (await fetch(files.getPublicUrl('a', { versionId }).data.publicUrl)).text(), 'first')
  const { signedUrl } = good(await files.createSignedUrl('a', 60, { versionId }))
  assert.equal(await (await fetch(signedUrl)).text(), 'first')
  assert.equal(await (await fetch(`${signedUrl}&versionId=${versions[1]}`)).text(), 'first')
  good(await files.copy('a', 'restored', { sourceVersionId: versionId }))
  assert.equal(await good(await files.download('restored')).text(), 'first')
  assert.deepEqual(names(good(await files.remove([{ path: 'a', versionId }]))), ['a'])
  bad(await files.download('a', { versionId }), '404', 'NoSuchKey')
  bad(await files.info('a', { versionId }), '404', 'NoSuchKey')
  bad(await files.createSignedUrl('a', 60, { versionId }), '404', 'NoSuchKey')
  bad(await files.copy('a', 'again', { sourceVersionId: versionId }), '404', 'NoSuchKey')
  assert.deepEqual(good(await files.remove([{ path: 'a', versionId }])), [])
  assert.equal(await good(await files.download('a')).text(), 'second')
  const both = good(await files.remove(['restored', { path: 'a', versionId: versions[1] }, { path: 'a', versionId: 'none' }]))
  assert.deepEqual(names(both).sort(), ['a', 'restored'])
  assert.deepEqual(good(await files.list()), [])
})

test('what is not done with versions is refused and not left out', async () => {
  const files = await withFiles(['a'])
  bad(await files.move('a', 'b', { sourceVersionId: 'x' }), '501', 'NotImplemented')
  for (const options of [{ noncurrentVersions: 'include' }, { deleteMarkers: 'only' }, { exactMatch: true }]) {
    bad(await files.list('', options), '400', 'InvalidRequest')
    bad(await files.listV2(options), '400', 'InvalidRequest')
  }
  const plain = { noncurrentVersions: 'exclude', deleteMarkers: 'exclude', exactMatch: false }
  assert.deepEqual(names(good(await files.list('', plain))), ['a'])
  assert.deepEqual(names(good(await files.listV2(plain)).objects), ['a'])
})

test('a version that is not the caller\'s to see', async () => {
  const files = service.from(await makeBucket({ public: false, versioningStatus: 'ENABLED' }))
  good(await files.upload('a', 'first'))
  const versionId = good(await files.info('a')).version
  for (const caller of [alice, anon]) {
    bad(await caller.from(files.bucketId).download('a', { versionId }), '404', 'NoSuchKey')
    bad(await caller.from(files.bucketId).createSignedUrl('a', 60, { versionId }), '404', 'NoSuchKey')
    assert.deepEqual(good(await caller.from(files.bucketId).remove([{ path: 'a', versionId }])), [])
  }
  assert.equal(await good(await files.download('a')).text(), 'first')
})

test('purgeCache is for the service role', async () => {
  const files = await withFiles(['a b/ü'])
  bad(await bob.from(files.bucketId).purgeCache('a b/ü'), '403', 'AccessDenied')
  bad(await files.purgeCache('a b/ü', { transformations: true }), '400', 'MissingParameter', /CDN_PURGE_ENDPOINT_URL/)
})

test('setHeader of one file client is not that of another', async () => {
  const files = await withFiles(['a'])
  const changed = anon.from(files.bucketId).setHeader('Authorization', `Bearer ${settings.serviceKey}`)
  // supabase-js puts the token of its own into every request that has none
  assert.equal((await changed.download('a')).error, null)
  bad(await anon.from(files.bucketId).download('a'), '404', 'NoSuchKey')
})
