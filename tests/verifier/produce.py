"""Sends lines of key, tab, value to a topic by confluent-kafka, as it is unless told otherwise.

    produce.py BROKERS TOPIC [NAME=VALUE...] < lines
"""

import sys

from confluent_kafka import Producer

brokers, topic, *properties = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, **dict(each.split("=", 1) for each in properties)})
failed = []


def delivered(error, message):
    if error is None:
        print(f"{message.key().decode()}\t{message.partition()}\t{message.offset()}")
    else:
        failed.append(error)


for line in sys.stdin:
    key, value = line.rstrip("\n").split("\t", 1)
    producer.produce(topic, key=key, value=value, on_delivery=delivered)
if producer.flush(60) or failed:
    sys.exit(f"not delivered: {failed}")
