// One store, two doors: what S3 puts supabase-js reads and the reverse, and what one says of an object the other says.
const assert = require('node:assert/strict')
const { test } = require('node:test')
const S3 = require('@aws-sdk/client-s3')
const { settings, service, alice, bob, fresh, makeBucket, good, bad } = require('./harness.cjs')

const s3Of = (credentials) => new S3.S3Client({ region: 'us-east-1', endpoint: settings.s3Url, forcePathStyle: true, credentials, maxAttempts: 1 })
const s3 = s3Of(settings.s3Credentials)
const utf8 = (body) => body.transformToString()

test('an object S3 put is the same to supabase-js', async () => {
  const bucket = await makeBucket({ public: true })
  const put = await s3.send(new S3.PutObjectCommand({
    Bucket: bucket, Key: 'a/ü b', Body: 'by s3', ContentType: 'text/css', CacheControl: 'max-age=77', ContentEncoding: 'identity',
    ContentDisposition: 'inline', ContentLanguage: 'de', Metadata: { colour: 'red' },
  }))
  const files = service.from(bucket)
  const blob = good(await files.download('a/ü b'))
  assert.deepEqual([await blob.text(), blob.type], ['by s3', 'text/css'])
  const info = good(await files.info('a/ü b'))
  assert.deepEqual(
    [info.etag, info.size, info.contentType, info.cacheControl, info.metadata],
    [put.ETag, 5, 'text/css', 'max-age=77', { colour: 'red' }]
  )
  const head = await s3.send(new S3.HeadObjectCommand({ Bucket: bucket, Key: 'a/ü b' }))
  assert.equal(Math.floor(new Date(info.lastModified) / 1000), head.LastModified / 1000)
  const answer = await fetch(files.getPublicUrl('a/ü b').data.publicUrl)
  const shown = ['etag', 'cache-control', 'content-type', 'content-language', 'content-disposition'].map((name) => answer.headers.get(name))
  assert.deepEqual(shown, [put.ETag, 'max-age=77', 'text/css', 'de', 'inline'])
  const [row] = good(await files.list('a'))
  assert.deepEqual([row.metadata.eTag, row.metadata.mimetype, row.metadata.cacheControl, row.metadata.size], [put.ETag, 'text/css', 'max-age=77', 5])
})

test('an object of many parts has S3\'s ETag at both doors', async () => {
  const bucket = await makeBucket()
  const at = { Bucket: bucket, Key: 'parts' }
  const { UploadId } = await s3.send(new S3.CreateMultipartUploadCommand({ ...at, ContentType: 'text/x' }))
  const Parts = []
  for (const [PartNumber, Body] of [[1, Buffer.alloc(5 << 20, 'a')], [2, Buffer.from('end')]]) {
    const { ETag } = await s3.send(new S3.UploadPartCommand({ ...at, UploadId, PartNumber, Body }))
    Parts.push({ PartNumber, ETag })
  }
  const { ETag } = await s3.send(new S3.CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts } }))
  assert.match(ETag, /-2"$/)
  const info = good(await service.from(bucket).info('parts'))
  assert.deepEqual([info.etag, info.size], [ETag, (5 << 20) + 3])
  const { signedUrl } = good(await service.from(bucket).createSignedUrl('parts', 60))
  const tail = await fetch(signedUrl, { headers: { range: 'bytes=-3' } })
  assert.deepEqual([tail.status, await tail.text()], [206, 'end'])
})

test('an object supabase-js uploaded is the same to S3', async () => {
  const bucket = await makeBucket()
  const metadata = { plain: 'text', nested: { a: 1 } }
  for (const body of ['by supabase', new Blob(['by supabase'], { type: 'text/x' })]) {
    good(await service.from(bucket).upload('a/ü', body, { upsert: true, contentType: 'text/x', cacheControl: '99', metadata }))
    const got = await s3.send(new S3.GetObjectCommand({ Bucket: bucket, Key: 'a/ü' }))
    assert.deepEqual([await utf8(got.Body), got.ContentType, got.CacheControl], ['by supabase', 'text/x', 'max-age=99'])
    assert.deepEqual(got.Metadata, { plain: 'text', nested: '{"a": 1}' })
    assert.equal(got.ETag, good(await service.from(bucket).info('a/ü')).etag)
  }
  const listed = await s3.send(new S3.ListObjectsV2Command({ Bucket: bucket }))
  assert.deepEqual(listed.Contents.map(({ Key, Size }) => [Key, Size]), [['a/ü', 11]])
})

test('what one door moves, copies or deletes is so at the other', async () => {
  const bucket = await makeBucket()
  const files = service.from(bucket)
  await s3.send(new S3.PutObjectCommand({ Bucket: bucket, Key: 'a', Body: 'x' }))
  good(await files.move('a', 'b'))
  await assert.rejects(s3.send(new S3.HeadObjectCommand({ Bucket: bucket, Key: 'a' })), { name: 'NotFound' })
  await s3.send(new S3.CopyObjectCommand({ Bucket: bucket, Key: 'c', CopySource: `${bucket}/b` }))
  assert.equal(await good(await files.download('c')).text(), 'x')
  await s3.send(new S3.DeleteObjectCommand({ Bucket: bucket, Key: 'b' }))
  assert.equal((await files.exists('b')).data, false)
  good(await files.remove(['c']))
  assert.equal((await s3.send(new S3.ListObjectsV2Command({ Bucket: bucket }))).KeyCount, 0)
})

test('a bucket and its limits are the same at both doors', async () => {
  const name = fresh()
  await s3.send(new S3.CreateBucketCommand({ Bucket: name }))
  assert.equal(good(await service.getBucket(name)).public, false)
  good(await service.updateBucket(name, { public: false, fileSizeLimit: 10, allowedMimeTypes: ['image/*'] }))
  const put = (Body, ContentType) => s3.send(new S3.PutObjectCommand({ Bucket: name, Key: 'k', Body, ContentType }))
  await assert.rejects(put('x'.repeat(11), 'image/png'), { name: 'EntityTooLarge' })
  await assert.rejects(put('x', 'text/plain'), (error) => error.$metadata.httpStatusCode < 500)
  await put('x'.repeat(10), 'image/png')
  bad(await service.from(name).update('k', 'x'.repeat(11), { contentType: 'image/png' }), '413', 'EntityTooLarge')
  good(await service.emptyBucket(name))
  await s3.send(new S3.DeleteBucketCommand({ Bucket: name }))
  bad(await service.getBucket(name), '404', 'NoSuchBucket')
})

test('one policy governs both doors: a token here, a session token there', async () => {
  const { sharedBucket, aliceId, bobId, anonKey } = settings
  const hers = s3Of({ accessKeyId: 'default', secretAccessKey: anonKey, sessionToken: settings.aliceToken })
  const his = s3Of({ accessKeyId: 'default', secretAccessKey: anonKey, sessionToken: settings.bobToken })
  const [byS3, byJson] = [`${aliceId}/${fresh()}`, `${aliceId}/${fresh()}`]
  await hers.send(new S3.PutObjectCommand({ Bucket: sharedBucket, Key: byS3, Body: 'one' }))
  good(await alice.from(sharedBucket).upload(byJson, 'two'))
  assert.equal(await good(await alice.from(sharedBucket).download(byS3)).text(), 'one')
  assert.equal(await utf8((await hers.send(new S3.GetObjectCommand({ Bucket: sharedBucket, Key: byJson }))).Body), 'two')
  for (const Key of [byS3, byJson]) {
    await assert.rejects(his.send(new S3.GetObjectCommand({ Bucket: sharedBucket, Key })), (error) => [403, 404].includes(error.$metadata.httpStatusCode))
    bad(await bob.from(sharedBucket).download(Key), '404', 'NoSuchKey')
  }
  await assert.rejects(hers.send(new S3.PutObjectCommand({ Bucket: sharedBucket, Key: `${bobId}/x`, Body: 'x' })), { name: 'AccessDenied' })
  bad(await alice.from(sharedBucket).upload(`${bobId}/x`, 'x'), '403', 'AccessDenied')
})
