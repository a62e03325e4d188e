#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) the virtjob authors
"""The same job in the usual way: pika_worker.py URI PREFIX answers guest.info from libvirt's test driver, with a
confirmed, persistent outcome before the acknowledgement."""
import json
import sys
import time

import libvirt
import pika

STATES = ["unknown", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"]


def guest_info(connection, params):
    domain = connection.lookupByName(params["guest"])
    state, memory_max, memory, vcpus, cpu_ns = domain.info()
    return {"name": domain.name(), "uuid": domain.UUIDString(), "state": STATES[state], "memory": memory * 1024,
            "memory_max": memory_max * 1024, "vcpus": vcpus, "cpu_ns": cpu_ns, "xml": domain.XMLDesc()[:100]}


def main():
    uri, prefix = sys.argv[1:3]
    hypervisor = libvirt.open("test:///default")
    channel = pika.BlockingConnection(pika.URLParameters(uri)).channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=256)

    def work(_channel, method, _properties, body):
        job = json.loads(body)
        begun = time.time()
        outcome = {
            "specversion": "1.0", "id": job["id"] + "/outcome", "source": "/virtjob/hosts/node1",
            "type": "io.virtjob.job.succeeded", "subject": job["id"], "datacontenttype": "application/json",
            "data": {"job": {"id": job["id"], "type": job["type"], "host": job["host"]}, "state": "succeeded",
                     "result": guest_info(hypervisor, job["params"]),
                     "run_ms": int((time.time() - begun) * 1000)},
        }
        channel.basic_publish(
            prefix + ".events", "job.succeeded.guest.info." + job["id"], json.dumps(outcome),
            pika.BasicProperties(content_type="application/cloudevents+json", delivery_mode=2,
                                 message_id=outcome["id"]), mandatory=True)
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(prefix + ".jobs.node1.quick", work)
    channel.start_consuming()


if __name__ == "__main__":
    main()
