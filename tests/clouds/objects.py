"""Google's and Microsoft's own clients, at an emulator: what was archived is read back by something that is not ours.

objects.py gs|az ENDPOINT BUCKET make                 makes the bucket
objects.py gs|az ENDPOINT BUCKET put KEY FILE         writes an object
objects.py gs|az ENDPOINT BUCKET fetch PREFIX FOLDER  every object below PREFIX into FOLDER, under the same names
"""

import os
import sys

cloud, endpoint, bucket_name, what, *rest = sys.argv[1:]

if cloud == "gs":
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(project="tests", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint})
    bucket = client.bucket(bucket_name)
    make = bucket.create

    def put(key, data):
        bucket.blob(key).upload_from_file(data)

    def objects(prefix):
        return [(blob.name, blob.size, blob.download_as_bytes) for blob in client.list_blobs(bucket_name, prefix=prefix)]

else:
    from azure.storage.blob import BlobServiceClient

    # The newest that Azurite 3.37 knows; the client is newer.
    API_VERSION = "2026-06-06"
    # The account and key that every such emulator has.
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    service = BlobServiceClient(f"{endpoint}/{account}", credential={"account_name": account, "account_key": key},
                                api_version=API_VERSION)
    container = service.get_container_client(bucket_name)
    make = container.create_container

    def put(key, data):
        container.upload_blob(key, data)

    def objects(prefix):
        def read(name):
            return lambda: container.download_blob(name).readall()

        return [(blob.name, blob.size, read(blob.name)) for blob in container.list_blobs(name_starts_with=prefix)]


if what == "make":
    make()
elif what == "put":
    with open(rest[1], "rb") as file:
        put(rest[0], file)
elif what == "fetch":
    prefix, folder = rest
    for name, size, read in objects(prefix):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = read()
        assert len(data) == size, f"{name}: {len(data)} bytes, and the listing says {size}"
        with open(path, "wb") as file:
            file.write(data)
else:
    sys.exit(f"what is {what}?")
