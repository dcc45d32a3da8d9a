"""An S3 server of its own (moto) with a bucket, and a client (boto3) that looks into it.

Output: its address, then an answer to each line of the input, as JSON. It ends with its input.
"""

import json
import os
import sys

import boto3
from moto.server import ThreadedMotoServer

os.environ.update(AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="other", AWS_REGION="us-east-1")
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
client.create_bucket(Bucket="ledger")


def objects():
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="ledger")
    return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}


def content(key):
    return client.get_object(Bucket="ledger", Key=key)["Body"].read()


def answer(asked):
    if "list" in asked:
        return objects()
    if "flip" in asked:
        bytes_ = bytearray(content(asked["flip"]))
        bytes_[len(bytes_) // 2] ^= 1
        client.put_object(Bucket="ledger", Key=asked["flip"], Body=bytes(bytes_))
        return True
    if "remove" in asked:
        client.delete_object(Bucket="ledger", Key=asked["remove"])
        return True
    return any(text.encode() in content(key) for text in asked["contains"] for key in objects())


print(json.dumps({"url": endpoint}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
