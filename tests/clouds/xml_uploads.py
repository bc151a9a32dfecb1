"""Uploads by the XML API of Google Cloud Storage, in front of fake-gcs-server, which has them by the JSON API alone.

xml_uploads.py PORT BEHIND FOLDER: an upload of an object, or of one in parts (kept in FOLDER until they are put together), becomes one by the
JSON API; all else goes through as it came. As
https://cloud.google.com/storage/docs/xml-api/put-object and https://cloud.google.com/storage/docs/multipart-uploads say.
"""

import hashlib
import http.client
import os
import re
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree

port, behind, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.makedirs(folder, exist_ok=True)


def part_of(upload, number):
    return os.path.join(folder, upload, f"{int(number):05}")


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def ask(self, method, path, body, headers):
        upstream = http.client.HTTPConnection("127.0.0.1", behind)
        upstream.request(method, path, body, headers)
        answer = upstream.getresponse()
        return answer, answer.read()

    def passed_on(self, body):
        answer, content = self.ask(self.command, self.path, body, dict(self.headers))
        hop = {"connection", "keep-alive", "transfer-encoding", "content-length", "date"}
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in hop]
        if self.command == "HEAD":
            headers.append(("Content-Length", answer.getheader("Content-Length", "0")))
            self.send_response(answer.status)
            for header in headers:
                self.send_header(*header)
            return self.end_headers()
        self.answer(answer.status, content, headers)

    def stored(self, bucket, key, data):
        """Writes it as a whole; what is to be answered."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}"
        match = self.headers.get("x-goog-if-generation-match")
        if match is not None:
            path += f"&ifGenerationMatch={match}"
        kind = self.headers.get("content-type", "application/octet-stream")
        host = self.headers["host"]
        answer, content = self.ask("POST", path, data, {"content-type": kind, "host": host})
        generation = re.search(rb'"generation": ?"(\d+)"', content)
        headers = [("x-goog-generation", generation[1].decode())] if generation else []
        return answer.status, headers

    def any(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        bucket, _, key = url.path.lstrip("/").partition("/")
        key = unquote(key)
        is_object = key and not re.match(r"/(storage|upload|download|batch|_internal)/", url.path)
        upload = query.get("uploadId", [""])[0]
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if not is_object or "uploadType" in query or self.command not in ("PUT", "POST", "DELETE"):
            return self.passed_on(body)
        if upload and not os.path.isdir(os.path.join(folder, os.path.basename(upload))):
            return self.answer(404, b"<Error><Code>NoSuchUpload</Code></Error>")
        if self.command == "POST" and "uploads" in query:
            upload = uuid.uuid4().hex
            os.mkdir(os.path.join(folder, upload))
            xml = (f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>object</Key>"
                   f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
            return self.answer(200, xml.encode())
        if self.command == "PUT" and upload:
            with open(part_of(upload, query["partNumber"][0]), "wb") as part:
                part.write(body)
            return self.answer(200, headers=[("ETag", etag)])
        if self.command == "POST" and upload:
            data = b""
            named = [{field.tag.split("}")[-1]: field.text for field in part} for part in ElementTree.fromstring(body)]
            for one in named:
                with open(part_of(upload, one["PartNumber"]), "rb") as part:
                    content = part.read()
                if hashlib.md5(content).hexdigest() != one["ETag"].strip('"'):
                    return self.answer(400, b"<Error><Code>InvalidPart</Code></Error>")
                data += content
            if not named:
                return self.answer(400, b"<Error><Code>MalformedCompleteMultipartUpload</Code></Error>")
            status, headers = self.stored(bucket, key, data)
            xml = (f"<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>object</Key>"
                   f"<ETag>{etag}</ETag></CompleteMultipartUploadResult>")
            return self.answer(status, xml.encode(), headers)
        if self.command == "DELETE" and upload:
            return self.answer(204)
        if self.command == "PUT":
            status, headers = self.stored(bucket, key, body)
            return self.answer(status, headers=[*headers, ("ETag", etag)])
        self.passed_on(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = any

    def log_message(self, form, *values):
        status = values[1] if len(values) > 1 else ""
        print(f"{self.requestline} {status}", flush=True)


ThreadingHTTPServer(("127.0.0.1", port), Front).serve_forever()
