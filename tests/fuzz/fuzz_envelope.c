/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A message from a stranger: the first line is the routing key, the second the message_id, the rest the body. Whatever it
 * is, it ends as a request that can be run, or as an error that can be told, and either makes valid events. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "envelope.h"
#include "schemas.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct schema_store *schemas;
static struct envelope_rules *rules;

/* The text up to the next line's end, which is used up; NULL when nothing is left. */
static char *next_line(const char **at, size_t *left)
{
    const char *end = *left > 0 ? memchr(*at, '\n', *left) : NULL;
    char *line;

    if (!end)
        return NULL;
    line = strndup(*at, (size_t)(end - *at));
    *left -= (size_t)(end - *at) + 1;
    *at = end + 1;
    return line;
}

static void answer(const struct request *request, const struct error *err)
{
    struct outcome outcome = { .state = OUTCOME_FAILED, .error = *err };
    AUTO(json) json_t *event = envelope_outcome(request, &outcome, "node1", "w1");
    struct error fault = ERROR_INIT;
    char key[256];

    envelope_job_key(request, "failed", key);
    if (!event ||
        (request->id[0] && schema_check(schema_store_find(schemas, "https://virtjob.io/schemas/1/event.json"),
                                        event, "", &fault) < 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data;
    struct delivery delivery = { 0 };
    struct request request;
    struct error err = ERROR_INIT;

    if (!schemas && (!(schemas = schemas_load(&err)) ||
                     !(rules = envelope_rules_new(schemas, "[a-z]+", "virtjob", &err))))
        abort();
    delivery.routing_key = next_line(&at, &size);
    delivery.message_id = next_line(&at, &size);
    delivery.body = strndup(at, size);
    delivery.length = strlen(delivery.body);
    if (envelope_parse(rules, &delivery, &request, &err) < 0 && (err.code == ERROR_NONE || !err.message[0]))
        abort();
    answer(&request, &err);
    request_done(&request);
    free(delivery.routing_key);
    free(delivery.message_id);
    free(delivery.body);
    return 0;
}
