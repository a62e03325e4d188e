/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Names under the prefix. What the broker makes of the declarations is in tests/integration/topology-declare. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "topology.h"

START_TEST(names_are_made_under_the_prefix)
{
    const struct config config = { .broker = { .prefix = (char *)"blue.virtjob" } };
    struct topology *topology = topology_new(&config, NULL);
    char *queue = topology_queue_name(topology, "node1", "quick");
    char *retry = topology_retry_name(topology, 30);

    ck_assert_str_eq(topology->jobs, "blue.virtjob.jobs");
    ck_assert_str_eq(topology->events, "blue.virtjob.events");
    ck_assert_str_eq(topology->results, "blue.virtjob.results");
    ck_assert_str_eq(topology->dead, "blue.virtjob.dead");
    ck_assert_str_eq(topology->control, "blue.virtjob.control");
    ck_assert_str_eq(topology->journal, "blue.virtjob.journal");
    ck_assert_str_eq(queue, "blue.virtjob.jobs.node1.quick");
    ck_assert_str_eq(retry, "blue.virtjob.retry.30");
    free(queue);
    free(retry);
    topology_free(topology);
    topology_free(NULL);
}
END_TEST

START_TEST(no_two_markers_are_the_same)
{
    char one[256], two[256];

    topology_marker_id("w1", one);
    topology_marker_id("w1", two);
    ck_assert_int_eq(strncmp(one, "marker/w1/", 10), 0);
    ck_assert_uint_eq(strlen(one), 10 + 32);
    ck_assert_str_ne(one, two);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topology");
    TCase *tcase = tcase_create("names");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, names_are_made_under_the_prefix);
    tcase_add_test(tcase, no_two_markers_are_the_same);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
