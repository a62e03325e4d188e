/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The jobs on volumes, whole, on libvirt's test driver: it has a pool and keeps what is made in it, but neither bytes nor
 * resizing; what needs these is in integration/volume-*. Each test has the driver's first state, in a process of its
 * own. */

#include "job_fixture.h"
#include "volume.h"

#define POOL    "default-pool"
#define conn    fixture_conn
#define outcome fixture_outcome

#define MIB     INT64_C(1048576)

static void be_quiet(void *opaque, virErrorPtr said)
{
    (void)opaque;
    (void)said;
}

static void setup(void)
{
    virSetErrorFunc(NULL, be_quiet);
    fixture_setup();
}

/* Parameters as JSON with ' for ". */
static json_t *params_of(const char *text)
{
    AUTO(string) char *json = strdup(text);

    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    json_t *params = json_loads(json, 0, NULL);
    ck_assert_msg(params != NULL, "not JSON: %s", text);
    return params;
}

static void succeed(const char *type, const char *params)
{
    fixture_succeed_with(type, params_of(params));
}

static void refuse(const char *type, const char *params, enum error_code code, const char *where)
{
    fixture_fail_with(code, where, type, params_of(params));
}

/* A member of the result's volume. */
static const char *told(const char *key)
{
    return json_string_value(json_object_get(json_object_get(outcome.result, "volume"), key));
}

static json_int_t told_number(const char *key)
{
    return json_integer_value(json_object_get(json_object_get(outcome.result, "volume"), key));
}

static const char *told_backing(const char *key)
{
    json_t *backing = json_object_get(json_object_get(outcome.result, "volume"), "backing");

    return json_string_value(json_object_get(backing, key));
}

/* Puts a volume there without a job. */
static void have(const char *name, const char *format, const char *more)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, POOL);
    char xml[1024];

    snprintf(xml, sizeof(xml),
             "<volume><name>%s</name><capacity unit='MiB'>8</capacity><allocation>4096</allocation>"
             "<target><format type='%s'/></target>%s</volume>",
             name, format, more);
    AUTO(volume) virStorageVolPtr vol = virStorageVolCreateXML(pool, xml, 0);
    ck_assert_msg(vol != NULL, "%s", virGetLastErrorMessage());
}

static bool is_there(const char *name)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, POOL);
    AUTO(volume) virStorageVolPtr vol = virStorageVolLookupByName(pool, name);

    return vol != NULL;
}

static char *description(const char *name)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, POOL);
    AUTO(volume) virStorageVolPtr vol = virStorageVolLookupByName(pool, name);

    return virStorageVolGetXMLDesc(vol, 0);
}

/* A guest with that disk element's children, running or only defined. */
static void have_guest(const char *name, const char *disk, bool running)
{
    char xml[1024];

    snprintf(xml, sizeof(xml),
             "<domain type='test'><name>%s</name><memory>8192</memory><os><type>hvm</type></os><devices>"
             "<disk type='file' device='disk'>%s<target dev='vda'/></disk></devices></domain>",
             name, disk);
    AUTO(domain) virDomainPtr dom = virDomainDefineXML(conn, xml);
    ck_assert_msg(dom != NULL, "%s", virGetLastErrorMessage());
    if (running)
        ck_assert_int_eq(virDomainCreate(dom), 0);
}

START_TEST(test_creates)
{
    succeed("volume.create", "{'target': {'pool': 'default-pool', 'volume': 'a.img'}, 'capacity': 1048576}");
    ck_assert_str_eq(told("pool"), POOL);
    ck_assert_str_eq(told("volume"), "a.img");
    ck_assert_str_eq(told("format"), "qcow2");
    ck_assert_int_eq(told_number("capacity"), MIB);
    ck_assert_int_eq(told_number("allocation"), 0);
    ck_assert(outcome.changed);
}
END_TEST

START_TEST(test_creates_preallocated)
{
    succeed("volume.create", "{'target': {'pool': 'default-pool', 'volume': 'a.img'}, 'capacity': 1048576,"
                             " 'format': 'raw', 'preallocation': 'full'}");
    ck_assert_str_eq(told("format"), "raw");
    ck_assert_int_eq(told_number("allocation"), MIB);
}
END_TEST

START_TEST(test_creates_an_overlay)
{
    have("base.img", "raw", "");
    succeed("volume.create", "{'target': {'pool': 'default-pool', 'volume': 'a.img'},"
                             " 'backing': {'pool': 'default-pool', 'volume': 'base.img'}}");
    ck_assert_int_eq(told_number("capacity"), 8 * MIB);
    ck_assert_str_eq(told_backing("path"), "/default-pool/base.img");
    ck_assert_str_eq(told_backing("format"), "raw");
}
END_TEST

START_TEST(test_escapes_names)
{
    succeed("volume.create",
            "{'target': {'pool': 'default-pool', 'volume': 'a <b>&c;%s]]> d'}, 'capacity': 1}");
    ck_assert_str_eq(told("volume"), "a <b>&c;%s]]> d");
    succeed("volume.info", "{'pool': 'default-pool', 'volume': 'a <b>&c;%s]]> d'}");
    ck_assert_str_eq(told("volume"), "a <b>&c;%s]]> d");
}
END_TEST

/* 81 characters of three bytes each. */
#define NINE_EUROS "€€€€€€€€€"
#define BYTES_243                                                                                            \
    NINE_EUROS NINE_EUROS NINE_EUROS NINE_EUROS NINE_EUROS NINE_EUROS NINE_EUROS NINE_EUROS NINE_EUROS

#define TARGET "'target': {'pool': 'default-pool', 'volume': 'new.img'}"

static const struct {
    const char *params;
    enum error_code code;
    const char *where;
} creations[] = {
    { "{" TARGET "}", ERROR_INVALID, "/params" },
    { "{" TARGET ", 'capacity': 0}", ERROR_INVALID, "/params/capacity" },
    { "{" TARGET ", 'capacity': 1, 'format': 'vmdk'}", ERROR_INVALID, "/params/format" },
    { "{" TARGET ", 'capacity': 1, 'format': 'raw', 'preallocation': 'metadata'}", ERROR_INVALID,
      "/params/preallocation" },
    { "{" TARGET ", 'capacity': 1125899906842624, 'preallocation': 'full'}", ERROR_NO_SPACE,
      "/params/target/pool" },
    { "{" TARGET ", 'backing': {'pool': 'default-pool', 'volume': 'none.img'}}", ERROR_NOT_FOUND,
      "/params/backing/volume" },
    { "{" TARGET ", 'backing': {'pool': 'default-pool', 'volume': 'there.img'}, 'capacity': 8388607}",
      ERROR_INVALID, "/params/capacity" },
    { "{" TARGET ", 'backing': {'pool': 'default-pool', 'volume': 'there.img'}, 'format': 'raw'}",
      ERROR_INVALID, "/params/backing" },
    { "{" TARGET ", 'backing': {'pool': 'default-pool', 'volume': 'there.img'}, 'preallocation': 'full'}",
      ERROR_INVALID, "/params/preallocation" },
    { "{" TARGET ", 'backing': {'pool': 'default-pool', 'volume': 'held.img'}}", ERROR_BUSY,
      "/params/backing/volume" },
    { "{'target': {'pool': 'default-pool', 'volume': 'there.img'}, 'capacity': 1}", ERROR_CONFLICT,
      "/params/target/volume" },
    { "{'target': {'pool': 'default-pool', 'volume': 'a.virtjob'}, 'capacity': 1}", ERROR_INVALID,
      "/params/target/volume" },
    { "{'target': {'pool': 'default-pool', 'volume': '" BYTES_243 "'}, 'capacity': 1}", ERROR_INVALID,
      "/params/target/volume" },
    { "{'target': {'pool': 'default-pool', 'volume': 'a\\uffff'}, 'capacity': 1}", ERROR_INVALID,
      "/params/target/volume" },
    { "{'target': {'pool': 'default-pool', 'volume': '../a'}, 'capacity': 1}", ERROR_INVALID,
      "/params/target/volume" },
    { "{'target': {'pool': 'no-pool', 'volume': 'a'}, 'capacity': 1}", ERROR_NOT_FOUND,
      "/params/target/pool" },
};

START_TEST(test_refuses_to_create)
{
    have("there.img", "raw", "");
    have("held.img", "raw", "");
    have_guest("holder", "<source file='/default-pool/held.img'/>", true);
    refuse("volume.create", creations[_i].params, creations[_i].code, creations[_i].where);
    ck_assert(!is_there("new.img"));
}
END_TEST

START_TEST(test_needs_an_active_pool)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, POOL);

    ck_assert_int_eq(virStoragePoolDestroy(pool), 0);
    refuse("volume.create", "{" TARGET ", 'capacity': 1}", ERROR_CONFLICT, "/params/target/pool");
    refuse("volume.info", "{'pool': 'default-pool', 'volume': 'a'}", ERROR_CONFLICT, "/params/pool");
    refuse("volume.list", "{'pool': 'default-pool'}", ERROR_CONFLICT, "/params/pool");
    refuse("volume.delete", "{'pool': 'default-pool', 'volume': 'a'}", ERROR_CONFLICT, "/params/pool");
    succeed("volume.list", "{}");
    ck_assert_int_eq(json_array_size(json_object_get(outcome.result, "volumes")), 0);
}
END_TEST

#define SOURCE "'source': {'pool': 'default-pool', 'volume': 'src.img'}"

START_TEST(test_clones_in_full)
{
    have("src.img", "raw", "");
    succeed("volume.clone", "{" SOURCE ", " TARGET ", 'method': 'full'}");
    ck_assert_str_eq(told("volume"), "new.img");
    ck_assert_str_eq(told("format"), "raw");
    ck_assert_int_eq(told_number("capacity"), 8 * MIB);
    ck_assert_str_eq(json_string_value(json_object_get(outcome.result, "method")), "full");
    ck_assert_ptr_null(outcome.choice);
}
END_TEST

/* The driver refuses the flag for reflinks and tells no permissions, which might be those of a volume in use. */
START_TEST(test_chooses_the_copy_that_is_always_right)
{
    static const char *const formats[] = { "raw", "qcow2" };

    have("src.img", formats[_i], "");
    succeed("volume.clone", "{" SOURCE ", " TARGET "}");
    ck_assert_str_eq(told("format"), formats[_i]);
    ck_assert_str_eq(json_string_value(json_object_get(outcome.choice, "method")), "full");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(outcome.choice, "why")),
                                 _i == 0 ? "overlay" : "permissions"));
}
END_TEST

START_TEST(test_links_a_source_that_is_read_only)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, POOL);
    AUTO(volume) virStorageVolPtr vol = virStorageVolCreateXML(
        pool,
        "<volume><name>fixed.img</name><capacity>512</capacity><target><format type='raw'/>"
        "<permissions><mode>0444</mode></permissions></target></volume>",
        0);
    ck_assert_ptr_nonnull(vol);
    succeed("volume.clone",
            "{'source': {'pool': 'default-pool', 'volume': 'fixed.img'}, " TARGET ", 'format': 'qcow2'}");
    ck_assert_str_eq(json_string_value(json_object_get(outcome.choice, "method")), "linked");
    ck_assert_str_eq(told_backing("path"), "/default-pool/fixed.img");
    ck_assert_str_eq(told_backing("format"), "raw");

    have_guest("writer", "<source file='/default-pool/fixed.img'/>", false);
    succeed("volume.clone",
            "{'source': {'pool': 'default-pool', 'volume': 'fixed.img'},"
            " 'target': {'pool': 'default-pool', 'volume': 'second.img'}, 'format': 'qcow2'}");
    ck_assert_str_eq(json_string_value(json_object_get(outcome.choice, "method")), "full");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(outcome.choice, "why")), "'writer'"));
}
END_TEST

START_TEST(test_links)
{
    have("src.img", "raw", "");
    succeed("volume.clone", "{" SOURCE ", " TARGET ", 'method': 'linked', 'capacity': 9000000}");
    ck_assert_str_eq(told("format"), "qcow2");
    ck_assert_int_eq(told_number("capacity"), 9000000);
    ck_assert_str_eq(told_backing("path"), "/default-pool/src.img");
    ck_assert_str_eq(told_backing("format"), "raw");
    succeed("volume.clone",
            "{" SOURCE ", 'target': {'pool': 'default-pool', 'volume': 'b'}, 'method': 'linked',"
            " 'backing_format': 'qcow2'}");
    ck_assert_str_eq(told_backing("format"), "qcow2");
}
END_TEST

START_TEST(test_may_clone_what_is_only_read)
{
    have("src.img", "raw", "");
    have_guest("reader", "<source file='/default-pool/src.img'/><readonly/>", true);
    succeed("volume.clone", "{" SOURCE ", " TARGET "}");
}
END_TEST

#define NONE "'source': {'pool': 'default-pool', 'volume': 'none.img'}"

static const struct {
    const char *params;
    enum error_code code;
    const char *where;
} clones[] = {
    { "{" NONE ", " TARGET "}", ERROR_NOT_FOUND, "/params/source/volume" },
    { "{'source': {'pool': 'no-pool', 'volume': 'src.img'}, " TARGET "}", ERROR_NOT_FOUND,
      "/params/source/pool" },
    { "{" SOURCE ", 'target': {'pool': 'no-pool', 'volume': 'a'}}", ERROR_NOT_FOUND, "/params/target/pool" },
    { "{" SOURCE ", 'target': {'pool': 'default-pool', 'volume': 'src.img'}}", ERROR_INVALID,
      "/params/target" },
    { "{" SOURCE ", 'target': {'pool': 'default-pool', 'volume': 'there.img'}}", ERROR_CONFLICT,
      "/params/target/volume" },
    { "{" SOURCE ", 'target': {'pool': 'default-pool', 'volume': 'x.virtjob'}}", ERROR_INVALID,
      "/params/target/volume" },
    { "{" SOURCE ", " TARGET ", 'capacity': 8388607}", ERROR_INVALID, "/params/capacity" },
    { "{" SOURCE ", " TARGET ", 'source_format': 'qcow2'}", ERROR_DENIED, "/params/source_format" },
    { "{" SOURCE ", " TARGET ", 'method': 'linked', 'format': 'raw'}", ERROR_INVALID, "/params/format" },
    { "{" SOURCE ", " TARGET ", 'method': 'reflink', 'format': 'qcow2'}", ERROR_INVALID, "/params/format" },
    { "{" SOURCE ", " TARGET ", 'method': 'full', 'backing_format': 'raw'}", ERROR_INVALID,
      "/params/backing_format" },
    { "{" SOURCE ", " TARGET ", 'method': 'reflink'}", ERROR_UNSUPPORTED, "/params/method" },
    { "{" SOURCE ", " TARGET ", 'method': 'copy'}", ERROR_INVALID, "/params/method" },
    { "{" SOURCE ", " TARGET ", 'size': 1}", ERROR_INVALID, "/params/size" },
    { "{'source': {'pool': 'default-pool', 'volume': 'held.img'}, " TARGET "}", ERROR_BUSY,
      "/params/source/volume" },
    { "{'source': {'pool': 'default-pool', 'volume': 'stray.img'}, " TARGET "}", ERROR_DENIED,
      "/params/source/volume" },
    { "{'source': {'pool': 'default-pool', 'volume': 'huge.img'}, " TARGET ", 'method': 'full'}",
      ERROR_NO_SPACE, "/params/target/pool" },
};

/* huge.img: larger than all that the pool has left. */
static void have_huge(void)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, POOL);
    virStoragePoolInfo info;
    char xml[256];

    ck_assert_int_eq(virStoragePoolGetInfo(pool, &info), 0);
    snprintf(xml, sizeof(xml),
             "<volume><name>huge.img</name><capacity>%llu</capacity><allocation>%llu</allocation></volume>",
             info.available - 4096, info.available - 4096);
    AUTO(volume) virStorageVolPtr vol = virStorageVolCreateXML(pool, xml, 0);
    ck_assert_msg(vol != NULL, "%s", virGetLastErrorMessage());
}

START_TEST(test_refuses_to_clone)
{
    AUTO(string) char *before = NULL;
    AUTO(string) char *after = NULL;

    have("src.img", "raw", "");
    have("there.img", "raw", "");
    have("held.img", "raw", "");
    have("stray.img", "qcow2", "<backingStore><path>/etc/passwd</path><format type='raw'/></backingStore>");
    have_huge();
    have_guest("holder", "<source file='/default-pool/held.img'/>", true);
    before = description("there.img");
    refuse("volume.clone", clones[_i].params, clones[_i].code, clones[_i].where);
    ck_assert_ptr_null(outcome.rollback);
    ck_assert(!is_there("new.img"));
    after = description("there.img");
    ck_assert_str_eq(before, after);
}
END_TEST

/* The deadline of the job passes with the last word of its copy. */
static void expire_at_the_end(void *opaque, const char *state, json_t *data)
{
    struct request *request = opaque;

    if (strcmp(state, "progress") == 0 && json_number_value(json_object_get(data, "percent")) == 100)
        request->deadline_ms = 1;
    json_decref(data);
}

START_TEST(test_a_deadline_holds_when_the_copy_ends)
{
    struct request request = { .id = FIXTURE_JOB_ID,
                               .params = params_of("{" SOURCE ", " TARGET ", 'method': 'full'}"),
                               .rollback = true };
    struct job_run_settings settings = { .request = &request,
                                         .type = job_type_find(job_tables, "volume.clone"),
                                         .hypervisor = fixture_hypervisor,
                                         .report = expire_at_the_end,
                                         .opaque = &request };
    struct error err = ERROR_INIT;

    have("src.img", "raw", "");
    struct job_run *run = job_run_new(&settings, &err);
    ck_assert_msg(run != NULL, "%s", err.message);
    job_run_execute(run, &outcome);
    job_run_free(run);
    ck_assert_int_eq(outcome.state, OUTCOME_EXPIRED);
    ck_assert_int_eq(json_array_size(outcome.rollback), 1);
    ck_assert(!is_there("new.img"));
    json_decref(request.params);
}
END_TEST

/* To another area a clone is a part of a job, with pointers of its own. */
static struct error part_error;

/* Fails after the clone, as a later step of the job might. */
static int run_part(struct job *job, json_t **ret_result, struct error *err)
{
    const json_t *disk = json_array_get(json_object_get(job->params, "disks"), 1);
    AUTO(json) json_t *part = NULL;

    (void)ret_result;
    if (volume_clone_run(job, disk, "/params/disks/1", &part, err) < 0)
        return -1;
    return error_set(err, ERROR_TIMEOUT, "later");
}

static void run_with_part(const char *params)
{
    static const struct job_type type = { .name = "volume.clone", .lane = JOB_LONG, .run = run_part };
    struct request request = { .id = FIXTURE_JOB_ID, .params = params_of(params), .rollback = true };
    struct job_run_settings settings = { .request = &request,
                                         .type = &type,
                                         .hypervisor = fixture_hypervisor };
    struct job_run *part = job_run_new(&settings, &part_error);

    outcome_done(&outcome);
    job_run_execute(part, &outcome);
    job_run_free(part);
    json_decref(request.params);
}

START_TEST(test_is_a_part_of_a_larger_job)
{
    have("src.img", "raw", "");
    run_with_part("{'disks': [{}, {'source': {'pool': 'default-pool', 'volume': 'nope'}, " TARGET "}]}");
    ck_assert_str_eq(outcome.error.where, "/params/disks/1/source/volume");
    ck_assert_ptr_null(outcome.rollback);
    run_with_part("{'disks': [{}, {" SOURCE ", " TARGET "}]}");
    ck_assert_int_eq(outcome.error.code, ERROR_TIMEOUT);
    ck_assert_int_eq(json_array_size(outcome.rollback), 1);
    ck_assert(json_is_true(json_object_get(json_array_get(outcome.rollback, 0), "ok")));
    ck_assert(!is_there("new.img"));
}
END_TEST

START_TEST(test_deletes_once)
{
    have("a.img", "raw", "");
    succeed("volume.delete", "{'pool': 'default-pool', 'volume': 'a.img'}");
    ck_assert(outcome.changed);
    ck_assert(!is_there("a.img"));
    succeed("volume.delete", "{'pool': 'default-pool', 'volume': 'a.img'}");
    ck_assert(!outcome.changed);
    refuse("volume.delete", "{'pool': 'no-pool', 'volume': 'a.img'}", ERROR_NOT_FOUND, "/params/pool");
}
END_TEST

static const char *const uses[] = {
    "<source file='/default-pool/a.img'/>",
    "<source file='/default-pool/a.img'/><readonly/>",
    "<source file='/x'/><backingStore type='file'><format type='raw'/><source file='/default-pool/a.img'/>"
    "</backingStore>",
};

START_TEST(test_deletes_nothing_in_use)
{
    have("a.img", "raw", "");
    have_guest("user", uses[_i], true);
    refuse("volume.delete", "{'pool': 'default-pool', 'volume': 'a.img'}", ERROR_BUSY, "/params/volume");
    ck_assert(is_there("a.img"));
    succeed("volume.delete", "{'pool': 'default-pool', 'volume': 'a.img', 'force': true}");
    ck_assert(!is_there("a.img"));
}
END_TEST

START_TEST(test_deletes_what_a_stopped_guest_has)
{
    have("a.img", "raw", "");
    have_guest("user", uses[0], false);
    succeed("volume.delete", "{'pool': 'default-pool', 'volume': 'a.img'}");
}
END_TEST

START_TEST(test_tells_of_a_volume)
{
    have("a.img", "qcow2", "");
    succeed("volume.info", "{'pool': 'default-pool', 'volume': 'a.img'}");
    ck_assert_str_eq(told("path"), "/default-pool/a.img");
    ck_assert_str_eq(told("type"), "file");
    ck_assert_str_eq(told("format"), "qcow2");
    ck_assert_int_eq(told_number("capacity"), 8 * MIB);
    ck_assert_int_eq(told_number("allocation"), 4096);
    refuse("volume.info", "{'pool': 'default-pool', 'volume': 'b.img'}", ERROR_NOT_FOUND, "/params/volume");
    refuse("volume.info", "{'pool': 'no-pool', 'volume': 'b.img'}", ERROR_NOT_FOUND, "/params/pool");
    refuse("volume.info", "{'pool': 'default-pool', 'volume': 'a\\nb'}", ERROR_INVALID, "/params/volume");
}
END_TEST

static const struct {
    const char *params;
    const char *names; /* one after the other, each with a blank behind */
    bool truncated;
} lists[] = {
    { "{}", "a.img b.img c.raw ", false },
    { "{'pool': 'default-pool'}", "a.img b.img c.raw ", false },
    { "{'prefix': 'b'}", "b.img ", false },
    { "{'prefix': 'x'}", "", false },
    { "{'format': 'raw'}", "c.raw ", false },
    { "{'limit': 2}", "a.img b.img ", true },
    { "{'limit': 3}", "a.img b.img c.raw ", false },
    { "{'limit': 1, 'format': 'raw'}", "c.raw ", false },
    { "{'limit': 1, 'format': 'qcow2'}", "a.img ", true },
};

START_TEST(test_lists)
{
    char names[256] = "";
    size_t index;
    json_t *volume;

    have("b.img", "qcow2", "");
    have("c.raw", "raw", "");
    have("a.img", "qcow2", "");
    have("a.img.virtjob", "raw", "");
    succeed("volume.list", lists[_i].params);
    json_array_foreach (json_object_get(outcome.result, "volumes"), index, volume) {
        strcat(names, json_string_value(json_object_get(volume, "volume")));
        strcat(names, " ");
    }
    ck_assert_str_eq(names, lists[_i].names);
    ck_assert_int_eq(json_is_true(json_object_get(outcome.result, "truncated")), lists[_i].truncated);
}
END_TEST

START_TEST(test_lists_no_pool_that_is_not_there)
{
    refuse("volume.list", "{'pool': 'no-pool'}", ERROR_NOT_FOUND, "/params/pool");
    refuse("volume.list", "{'limit': 10001}", ERROR_INVALID, "/params/limit");
}
END_TEST

#define ROWS(rows) sizeof(rows) / sizeof((rows)[0])

static Suite *suite(void)
{
    Suite *all = suite_create("volume");
    TCase *jobs = tcase_create("jobs");

    tcase_add_checked_fixture(jobs, setup, fixture_teardown);
    tcase_add_test(jobs, test_creates);
    tcase_add_test(jobs, test_creates_preallocated);
    tcase_add_test(jobs, test_creates_an_overlay);
    tcase_add_test(jobs, test_escapes_names);
    tcase_add_loop_test(jobs, test_refuses_to_create, 0, ROWS(creations));
    tcase_add_test(jobs, test_needs_an_active_pool);
    tcase_add_test(jobs, test_clones_in_full);
    tcase_add_loop_test(jobs, test_chooses_the_copy_that_is_always_right, 0, 2);
    tcase_add_test(jobs, test_links_a_source_that_is_read_only);
    tcase_add_test(jobs, test_links);
    tcase_add_test(jobs, test_may_clone_what_is_only_read);
    tcase_add_loop_test(jobs, test_refuses_to_clone, 0, ROWS(clones));
    tcase_add_test(jobs, test_a_deadline_holds_when_the_copy_ends);
    tcase_add_test(jobs, test_is_a_part_of_a_larger_job);
    tcase_add_test(jobs, test_deletes_once);
    tcase_add_loop_test(jobs, test_deletes_nothing_in_use, 0, ROWS(uses));
    tcase_add_test(jobs, test_deletes_what_a_stopped_guest_has);
    tcase_add_test(jobs, test_tells_of_a_volume);
    tcase_add_loop_test(jobs, test_lists, 0, ROWS(lists));
    tcase_add_test(jobs, test_lists_no_pool_that_is_not_there);
    suite_add_tcase(all, jobs);
    return all;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
