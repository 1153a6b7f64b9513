// The JavaScript SDK: put, get, list, delete, multipart by lib-storage, presigned URLs.
const assert = require("node:assert/strict");
const { S3Client, PutObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, DeleteObjectsCommand,
  CopyObjectCommand, paginateListObjectsV2 } = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

async function main() {
  const Bucket = process.argv[2];
  const client = new S3Client({ endpoint: process.env.AWS_ENDPOINT_URL, forcePathStyle: true, maxAttempts: 1 });

  await client.send(new PutObjectCommand({ Bucket, Key: "dir/ü b+c", Body: "hello", ContentType: "text/plain", Metadata: { a: "1" } }));
  const got = await client.send(new GetObjectCommand({ Bucket, Key: "dir/ü b+c" }));
  assert.equal(await got.Body.transformToString(), "hello");
  assert.equal(got.ContentType, "text/plain");
  assert.deepEqual(got.Metadata, { a: "1" });

  const large = Buffer.alloc(12 * 1024 * 1024, "abcdefg");
  await new Upload({ client, params: { Bucket, Key: "large", Body: large }, partSize: 5 * 1024 * 1024, queueSize: 3 }).done();
  const head = await client.send(new HeadObjectCommand({ Bucket, Key: "large" }));
  assert.equal(head.ContentLength, large.length);
  assert.match(head.ETag, /-3"$/);
  const back = await client.send(new GetObjectCommand({ Bucket, Key: "large" }));
  assert.ok(large.equals(Buffer.from(await back.Body.transformToByteArray())));

  for (let number = 0; number < 5; number++) {
    await client.send(new PutObjectCommand({ Bucket, Key: `many/${number}`, Body: "v" }));
  }
  const keys = [];
  for await (const page of paginateListObjectsV2({ client, pageSize: 2 }, { Bucket, Prefix: "many/" })) {
    keys.push(...(page.Contents ?? []).map((entry) => entry.Key));
  }
  assert.deepEqual(keys, ["many/0", "many/1", "many/2", "many/3", "many/4"]);
  const top = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: "/" }));
  assert.deepEqual(top.CommonPrefixes.map((entry) => entry.Prefix), ["dir/", "many/"]);

  await client.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: encodeURI(`${Bucket}/dir/ü b`) + "%2Bc" }));
  const putUrl = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: "signed" }), { expiresIn: 60 });
  assert.equal((await fetch(putUrl, { method: "PUT", body: "by url" })).status, 200);
  const getUrl = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: "signed" }), { expiresIn: 60 });
  assert.equal(await (await fetch(getUrl)).text(), "by url");

  await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key: "nobody" })), { name: "NoSuchKey" });
  await assert.rejects(
    client.send(new PutObjectCommand({ Bucket, Key: "copy", Body: "x", IfNoneMatch: "*" })), { name: "PreconditionFailed" });

  const deleted = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
  assert.equal(deleted.Deleted.length, 5);
  console.log("all right");
}

main().catch((error) => { console.error(error); process.exit(1); });
