/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The three sources and their order, every kind of value, and that each fault is refused with where it stands. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "config.h"

extern char **environ;

static char folder[] = "/tmp/check_config.XXXXXX";
static char path[64], secret[64], open_secret[64], certificate[64];
static struct error err;

static void write_file(const char *to, const char *text, size_t length, mode_t mode)
{
    FILE *file = fopen(to, "w");

    ck_assert_uint_eq(fwrite(text, 1, length, file), length);
    fclose(file);
    chmod(to, mode);
}

static void setup(void)
{
    environ = NULL;
    err = ERROR_INIT;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/conf", folder);
    snprintf(secret, sizeof(secret), "%s/secret", folder);
    snprintf(open_secret, sizeof(open_secret), "%s/open", folder);
    snprintf(certificate, sizeof(certificate), "%s/cert", folder);
    write_file(secret, "x\n", 2, 0640);
    write_file(open_secret, "x\n", 2, 0644);
    write_file(certificate, "x\n", 2, 0644);
}

static void teardown(void)
{
    unlink(path);
    unlink(secret);
    unlink(open_secret);
    unlink(certificate);
    rmdir(folder);
}

static struct config *load(const char *text)
{
    write_file(path, text, strlen(text), 0600);
    return config_load(path, NULL, 0, &err);
}

static struct config *load_good(const char *text)
{
    struct config *config = load(text);

    ck_assert_msg(config != NULL, "refused: %s", err.message);
    return config;
}

static struct config *set(const char *one, const char *two)
{
    char *sets[] = { (char *)one, (char *)two };

    return config_load(NULL, sets, two ? 2 : one ? 1 : 0, &err);
}

static void assert_said(const char *part)
{
    ck_assert_int_eq(err.code, ERROR_INVALID);
    ck_assert_msg(strstr(err.message, part) != NULL, "'%s' is not in '%s'", part, err.message);
}

START_TEST(defaults_are_those_of_the_header)
{
    struct config *config = set(NULL, NULL);
    char host_name[256];

    gethostname(host_name, sizeof(host_name));
    ck_assert_ptr_nonnull(config);
    ck_assert_str_eq(config->broker.uri, "amqp://guest:guest@127.0.0.1:5672/");
    ck_assert_ptr_null(config->broker.password_file);
    ck_assert_str_eq(config->broker.prefix, "virtjob");
    ck_assert(!config->broker.external && !config->broker.verify_host_name);
    ck_assert_int_eq(config->broker.heartbeat_s, 10);
    ck_assert_int_eq(config->broker.connect_timeout_s, 10);
    ck_assert_int_eq(config->broker.send_timeout_s, 30);
    ck_assert_int_eq(config->broker.blocked_timeout_s, 300);
    ck_assert_str_eq(config->worker.name, host_name);
    ck_assert_int_eq(config->worker.quick_slots, 8);
    ck_assert_int_eq(config->worker.quick_prefetch, 256);
    ck_assert_int_eq(config->worker.long_slots, 4);
    ck_assert(config->worker.any);
    ck_assert_int_eq(config->worker.drain_timeout_s, 0);
    ck_assert_int_eq(config->worker.host_patience_s, 30);
    ck_assert_uint_eq(config->limits.max_body, 1 << 20);
    ck_assert_int_eq(config->limits.max_pending, 65536);
    ck_assert_int_eq(config->limits.progress_interval_ms, 1000);
    ck_assert_int_eq(config->limits.max_attempts, 3);
    ck_assert_int_eq(config->limits.max_crashes, 5);
    ck_assert_int_eq(config->journal.max_bytes, 1 << 30);
    ck_assert_int_eq(config->journal.max_age_s, 86400);
    ck_assert_int_eq(config->journal.lookback_s, 3600);
    ck_assert(config->results.enabled);
    ck_assert_int_eq(config->results.max_length, 1000000);
    ck_assert_int_eq(config->results.max_age_s, 7 * 86400);
    ck_assert_str_eq(config->log_level, "info");
    ck_assert_str_eq(config->log_format, "text");
    ck_assert_ptr_null(config->metrics_listen);
    ck_assert_int_eq(config_check_daemon(config, &err), -1);
    assert_said("there is no host");
    config_free(config);
    config_free(NULL);
}
END_TEST

START_TEST(file_is_read)
{
    struct config *config = load_good("\xef\xbb\xbf# a comment\n"
                                      "[broker]\r\n"
                                      "uri = amqp://me:it%3b@broker.example/vhost\r\n"
                                      "  prefix=test-1.x_y \n"
                                      "heartbeat = 2m\n"
                                      "; another\n"
                                      "\n"
                                      "[worker]\n"
                                      "name = w1\nany = Off\nlong_slots = 1024\n"
                                      "[host node1]\n"
                                      "uri = qemu+ssh://root@node1/system?a=b;c\n"
                                      "[limits]\nmax_body = 512K\nprogress_interval = 250ms\nreply_to =\n"
                                      "[results]\nmax_age = 36h\nmax_length = 5\nenabled = no\n"
                                      "[host NODE_2-b]\n"
                                      "uri = test:///default\n"
                                      "peer_uri = qemu+tls://node2/system\n"
                                      "migrate_uri = tcp://10.0.0.2\nserve = no\n"
                                      "[save]\nfolders = /var/save /srv/images\n"
                                      "[log]\nformat = json\nlevel = debug\n"
                                      "[metrics]\nlisten = :9177");

    ck_assert_str_eq(config->broker.uri, "amqp://me:it%3b@broker.example/vhost");
    ck_assert(config->broker.verify_host_name);
    ck_assert_str_eq(config->broker.prefix, "test-1.x_y");
    ck_assert_int_eq(config->broker.heartbeat_s, 120);
    ck_assert_str_eq(config->worker.name, "w1");
    ck_assert(!config->worker.any);
    ck_assert_int_eq(config->worker.long_slots, 1024);
    ck_assert_uint_eq(config->host_count, 2);
    ck_assert_str_eq(config->hosts[0].name, "node1");
    ck_assert_str_eq(config->hosts[0].uri, "qemu+ssh://root@node1/system?a=b;c");
    ck_assert_str_eq(config->hosts[1].name, "NODE_2-b");
    ck_assert_str_eq(config->hosts[1].peer_uri, "qemu+tls://node2/system");
    ck_assert_str_eq(config->hosts[1].migrate_uri, "tcp://10.0.0.2");
    ck_assert(config->hosts[0].serve && !config->hosts[1].serve);
    ck_assert_ptr_null(config->hosts[0].peer_uri);
    ck_assert_str_eq(config->save_folders, "/var/save /srv/images");
    ck_assert_uint_eq(config->limits.max_body, 512 * 1024);
    ck_assert_int_eq(config->limits.progress_interval_ms, 250);
    ck_assert_str_eq(config->reply_to, "");
    ck_assert_int_eq(config->results.max_age_s, 36 * 3600);
    ck_assert_int_eq(config->results.max_length, 5);
    ck_assert(!config->results.enabled);
    ck_assert_str_eq(config->log_format, "json");
    ck_assert_str_eq(config->log_level, "debug");
    ck_assert_str_eq(config->metrics_listen, ":9177");
    ck_assert_int_eq(config_check_daemon(config, &err), 0);
    config_free(config);
}
END_TEST

START_TEST(long_names_and_values_are_whole)
{
    char text[4000], name[64], *at = text;
    struct config *config;

    memset(name, 'n', 63);
    name[63] = '\0';
    at += sprintf(at, "[host %s]\nuri = test:///", name);
    memset(at, 'x', 3000);
    strcpy(at + 3000, "\n");
    config = load_good(text);
    ck_assert_str_eq(config->hosts[0].name, name);
    ck_assert_uint_eq(strlen(config->hosts[0].uri), 3008);
    config_free(config);
}
END_TEST

START_TEST(later_sources_win)
{
    char *sets[] = { "worker.long_slots=7", "host node1.uri=test:///cli", "host new.uri=test:///new",
                     "metrics.listen=", "worker.long_slots=9" };
    struct config *config;
    const char *text =
        "[worker]\nlong_slots = 2\nquick_slots = 3\nname = file\n"
        "[host node1]\nuri = test:///file\n[host node2]\nuri = test:///file\n[metrics]\nlisten = :1\n";

    setenv("VIRTJOB_WORKER_LONG_SLOTS", "5", 1);
    setenv("VIRTJOB_WORKER_QUICK_SLOTS", "6", 1);
    setenv("VIRTJOB_WORKER_NAME", "", 1);
    setenv("VIRTJOB_WORKER_PORT_9177_TCP", "tcp://10.0.0.1",
           1); /* as Kubernetes sets for a service of that name */
    setenv("VIRTJOB_HOSTS", "  node2=test:///env?a=b\tnode3=test:///env ", 1);
    write_file(path, text, strlen(text), 0600);
    config = config_load(path, sets, 5, &err);
    ck_assert_msg(config != NULL, "%s", err.message);
    ck_assert_int_eq(config->worker.long_slots, 9);
    ck_assert_int_eq(config->worker.quick_slots, 6);
    ck_assert_str_eq(config->worker.name, "file");
    ck_assert_ptr_null(config->metrics_listen);
    ck_assert_uint_eq(config->host_count, 4);
    ck_assert_str_eq(config->hosts[0].uri, "test:///cli");
    ck_assert_str_eq(config->hosts[1].uri, "test:///env?a=b");
    ck_assert_str_eq(config->hosts[2].name, "node3");
    ck_assert_str_eq(config->hosts[3].uri, "test:///new");
    config_free(config);
}
END_TEST

/* What is wrong with a file, and what is said; the path of the file is put before the second where it begins with
 * a colon. */
static const struct {
    const char *text, *said;
} wrong_files[] = {
    { "[worker]\nlong_slots = 0\n", ":2: [worker] long_slots: 0 is below 1" },
    { "[worker]\nlong_slots = 1025\n", ":2: [worker] long_slots: 1025 is above 1024" },
    { "[worker]\nlong_slots = -9999999999999999999999\n", "is below 1" },
    { "[worker]\nlong_slots = 9999999999999999999999\n", "is above 1024" },
    { "[worker]\nlong_slots = 4294967297\n", "is above 1024" },
    { "[worker]\nlong_slots = two\n", "'two' is not a number" },
    { "[worker]\nlong_slots = 2K\n", "'2K' is not a number" },
    { "[worker]\nlong_slots = 2 ; two\n", "'2 ; two' is not a number" },
    { "[worker]\nlong_slots =\n", "'' is not a number" },
    { "[worker]\nlong_slots = +2\n", "'+2' is not a number" },
    { "[worker]\nlong_slots = 0x2\n", "'0x2' is not a number" },
    { "[worker]\nany = maybe\n", ":2: [worker] any: 'maybe' is neither true nor false" },
    { "[worker]\nname = a b\n", ":2: [worker] name: is not" },
    { "[broker]\nheartbeat = 0\n", ":2: [broker] heartbeat: 0 is below 1s" },
    { "[broker]\nheartbeat = 2h\n", "2h is above 3600s" },
    { "[broker]\nheartbeat = 9223372036854775807d\n", "is above 3600s" },
    { "[broker]\nheartbeat = 500ms\n", "'500ms' is not a duration in s, m, h or d" },
    { "[limits]\nprogress_interval = 1ms\n", "1ms is below 10ms" },
    { "[limits]\nmax_body = 65M\n", "65M is above 67108864" },
    { "[limits]\nmax_body = 1023\n", "1023 is below 1024" },
    { "[limits]\nreply_to = (a\n", ":2: [limits] reply_to: the pattern is wrong at character 2: " },
    { "[limits]\nmax_attempts = 0\n", ":2: [limits] max_attempts: 0 is below 1" },
    { "[limits]\nmax_crashes = 101\n", ":2: [limits] max_crashes: 101 is above 100" },
    { "[limits]\nretry_delays =\n", ":2: [limits] retry_delays: is not 1 to 8 durations between 1s and 24h" },
    { "[limits]\nretry_delays = 5\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 0s\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = -5s\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 500ms\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 1d\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 25h\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 99999999999999999999h\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 5s, 30s\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 5s30s\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 5s soon\n", "retry_delays: is not 1 to 8" },
    { "[limits]\nretry_delays = 1s 2s 3s 4s 5s 6s 7s 8s 9s\n", "retry_delays: is not 1 to 8" },
    { "[results]\nmax_age = 50d\n", "50d is above 4233600s" },
    { "[journal]\nmax_bytes = 1023K\n", "[journal] max_bytes: 1023K is below 1048576" },
    { "[journal]\nmax_age = 59s\n", "[journal] max_age: 59s is below 60s" },
    { "[journal]\nlookback = 0\n", "[journal] lookback: 0 is below 1s" },
    { "[log]\nlevel = loud\n", ":2: [log] level: is none of error, warning, info, debug" },
    { "[log]\nlevel =\n", ":2: [log] level: is none of" },
    { "[log]\nformat = xml\n", ":2: [log] format: is neither text nor json" },
    { "[broker]\nprefix = a/b\n", ":2: [broker] prefix: is not 1 to 100" },
    { "[broker]\nprefix =\n", ":2: [broker] prefix: is not 1 to 100" },
    { "[broker]\nuri = http://x\n", ":2: [broker] uri: does not begin with amqp:// or amqps://" },
    { "[broker]\nuri = amqps://x\n", ":2: [broker] uri: amqps needs ca_file" },
    { "[broker]\nuri = amqp://a b\n", ":2: [broker] uri: has a space, and behind it no other amqp://" },
    { "[broker]\nuri = amqp://a http://b\n", ":2: [broker] uri: has a space, and behind it no other" },
    { "[broker]\nuri = amqp://a amqps://b\n", ":2: [broker] uri: has amqp:// and amqps://; all must be" },
    { "[broker]\nuri = amqps://a amqps://b\n", ":2: [broker] uri: amqps needs ca_file" },
    { "[broker]\nuri = amqp://a\nuri = amqp://b\n", "conf:3: [broker] uri: is set already at " },
    { "[broker]\nuri = amqp://a\n[worker]\n[broker]\nuri = amqp://b\n", "conf:2" },
    { "[broker]\nurl = amqp://a\n",
      ":2: unknown key 'url' in [broker]; known are uri, password_file, ca_file, " },
    { "[brokr]\nuri = amqp://a\n",
      ":1: unknown section [brokr]; known are [broker], [worker], [limits], [results], "
      "[journal], [save], [log], [metrics], [host NAME]" },
    { "[brokr]\n", ":1: unknown section [brokr]" },
    { "[ broker ]\n", ":1: unknown section [ broker ]" },
    { "[broker] # it\n", ":1: there is something behind the section" },
    { "uri = amqp://a\n", ":1: 'uri' stands before the first section" },
    { "[broker]\njust words\n", ":2: is neither `[section]`, `key = value` nor a comment" },
    { "[broker\nuri = amqp://a\n", ":1: the name of the section has no end" },
    { "[host]\nuri = a\n", ":1: unknown section [host]" },
    { "[host a]\n[log]\n", ": [host a] has no uri" },
    { "[host a]\nuri =\n", ":2: [host a] uri: is empty" },
    { "[host a]\nuri = x:///\nuri = y:///\n", ":3: [host a] uri: is set already" },
    { "[host a]\nuri = x:///\n[host a]\n", ":3: there is a [host a] already" },
    { "[host a]\nurl = x:///\n", ":2: unknown key 'url' in [host a]; known are uri, peer_uri, " },
    { "[host a]\nuri = x:///\nserve = perhaps\n", ":3: [host a] serve: 'perhaps' is neither true nor false" },
    { "[save]\nfolders = /var/save /var/../etc\n", ":2: [save] folders: has what is no absolute path" },
    { "[save]\nfolders = saves\n", ":2: [save] folders: has what is no absolute path" },
    { "[save]\nfolders = /var/save/\n", ":2: [save] folders: has what is no absolute path" },
    { "[host any]\nuri = x:///\n", ":1: [host any]: a host cannot be called any" },
    { "[host a.b]\nuri = x:///\n", ":1: [host a.b]: a host's name is" },
    { "[host ]\nuri = x:///\n", "a host's name is" },
    { "[broker]\nprefix = a\n b = c\n", ":3: unknown key 'b'" },
    { "[worker]\nname = a\x01z\n", ":2: [worker] name: has a control character" },
};

START_TEST(wrong_files_are_refused_with_the_line)
{
    char said[512];
    const char *part = wrong_files[_i].said;

    snprintf(said, sizeof(said), "%s%s", *part == ':' ? path : "", part);
    ck_assert_ptr_null(load(wrong_files[_i].text));
    assert_said(said);
}
END_TEST

START_TEST(hopeless_files_are_refused)
{
    static char text[10000] = "[host a]\nuri = ";
    size_t length = strlen(text);

    memset(text + length, 'x', sizeof(text) - length - 1);
    ck_assert_ptr_null(load(text));
    assert_said("conf:2: the line is longer than ");
    write_file(path, "[log]\nlevel = in\0fo\n", 20, 0600);
    ck_assert_ptr_null(config_load(path, NULL, 0, &err));
    assert_said("conf:2: the line has a NUL byte");
    ck_assert_ptr_null(config_load("/nonexistent/conf", NULL, 0, &err));
    assert_said("/nonexistent/conf: cannot be read: No such file");
    ck_assert_ptr_null(config_load(folder, NULL, 0, &err));
    assert_said("Is a directory");
    memset(text, 'h', 300);
    text[0] = '[';
    strcpy(text + 300, "]\n");
    ck_assert_ptr_null(load(text));
    assert_said("conf:1: the name of the section is too long");
}
END_TEST

START_TEST(host_count_is_bounded)
{
    static char text[100000];
    char *at = text;

    for (int i = 0; i < 257; i++)
        at += sprintf(at, "[host h%d]\nuri = x:///\n", i);
    ck_assert_ptr_null(load(text));
    assert_said("conf:513: [host h256]: there are too many hosts");
}
END_TEST

START_TEST(environment_and_command_line_name_themselves)
{
    ck_assert_ptr_null(set("worker.long_slots", NULL));
    assert_said("command line: 'worker.long_slots' is not section.key=value");
    ck_assert_ptr_null(set("long_slots=1", NULL));
    assert_said("command line: 'long_slots' is not section.key=value");
    ck_assert_ptr_null(set("worker.long_slot=1", NULL));
    assert_said("command line: unknown key 'long_slot' in [worker]");
    ck_assert_ptr_null(set("wrker.long_slots=1", NULL));
    assert_said("command line: unknown section [wrker]");
    ck_assert_ptr_null(set("host a/b.uri=x:///", NULL));
    assert_said("command line: [host a/b]: ");
    setenv("VIRTJOB_HOSTS", "node1", 1);
    ck_assert_ptr_null(set(NULL, NULL));
    assert_said("VIRTJOB_HOSTS: 'node1' is not NAME=URI");
    setenv("VIRTJOB_LOG_LEVEL", "loud", 1);
    ck_assert_ptr_null(set(NULL, NULL));
    assert_said("VIRTJOB_LOG_LEVEL: [log] level: is none of");
}
END_TEST

START_TEST(complaints_do_not_show_the_password)
{
    ck_assert_ptr_null(set("broker.uri=amqps://me:sesame@x/", NULL));
    ck_assert_ptr_null(strstr(err.message, "sesame"));
    ck_assert_ptr_null(set("broker.uri=amqp:/me:sesame@x/", NULL));
    ck_assert_ptr_null(strstr(err.message, "sesame"));
    ck_assert_ptr_null(set("broker.uri=amqp://me:ses ame@x/", NULL));
    ck_assert_ptr_null(strstr(err.message, "ame@"));
}
END_TEST

/* Files of [broker] */

static const char *setting(char *to, const char *key, const char *value)
{
    sprintf(to, "broker.%s=%s", key, value);
    return to;
}

START_TEST(secrets_must_not_be_open_to_all)
{
    char one[128];
    struct config *config = set(setting(one, "password_file", secret), NULL);

    ck_assert_str_eq(config->broker.password_file, secret);
    config_free(config);
    ck_assert_ptr_null(set(setting(one, "password_file", open_secret), NULL));
    assert_said("command line: [broker] password_file: ");
    assert_said("/open is open to every user of this machine; chmod o= it");
    ck_assert_ptr_null(set(setting(one, "password_file", "/nonexistent"), NULL));
    assert_said("password_file: /nonexistent cannot be read: No such file");
    ck_assert_ptr_null(set(setting(one, "password_file", folder), NULL));
    assert_said("is a folder");
}
END_TEST

START_TEST(brokers_are_told_apart)
{
    struct config *config = load_good("[broker]\nuri = amqp://a/v   amqp://u:p%20@b:1/v\n");
    const char *at = config->broker.uri, *one;
    size_t length;

    ck_assert_ptr_nonnull(one = config_broker_next(&at, &length));
    ck_assert(length == 10 && strncmp(one, "amqp://a/v", length) == 0);
    ck_assert_ptr_nonnull(one = config_broker_next(&at, &length));
    ck_assert(length == 19 && strncmp(one, "amqp://u:p%20@b:1/v", 19) == 0);
    ck_assert_ptr_null(config_broker_next(&at, &length));
    config_free(config);
}
END_TEST

START_TEST(certificates_fit_together)
{
    char text[512];
    struct config *config;

    sprintf(
        text,
        "[broker]\nuri = amqps://b.example\nca_file = %s\ncert_file = %s\nkey_file = %s\nexternal = true\n",
        certificate, certificate, secret);
    config = load_good(text);
    ck_assert(config->broker.external && config->broker.verify_host_name);
    config_free(config);
    sprintf(text, "[broker]\ncert_file = %s\n", certificate);
    ck_assert_ptr_null(load(text));
    assert_said("conf:2: [broker] cert_file: needs key_file beside it");
    sprintf(text, "[broker]\nkey_file = %s\n", secret);
    ck_assert_ptr_null(load(text));
    assert_said("conf:2: [broker] key_file: needs cert_file beside it");
    sprintf(text, "[broker]\ncert_file = %s\nkey_file = %s\n", certificate, open_secret);
    ck_assert_ptr_null(load(text));
    assert_said("conf:3: [broker] key_file: ");
    sprintf(text, "[broker]\ncert_file = %s\nkey_file = %s\nexternal = 1", certificate, secret);
    ck_assert_ptr_null(load(text));
    assert_said("conf:4: [broker] external: needs cert_file and an amqps URI");
    ck_assert_ptr_null(load("[broker]\nexternal = yes"));
    assert_said("conf:2: [broker] external: needs cert_file");
}
END_TEST

static const struct {
    const char *uri;
    bool verify;
} uris[] = {
    { "amqp://broker", true },
    { "amqp://broker.example:5672/10.0.0.1", true },
    { "amqp://10.0.0.1", false },
    { "amqp://u:p@10.0.0.1:5672/v", false },
    { "amqp://10.0.0.1@broker:5672/v", true },
    { "amqp://[::1]:5672/v", false },
    { "amqp://u:p@[fe80::1]/v", false },
    { "amqp://1.2.3.4.example/", true },
    { "amqp://a amqp://b:5672/v", true },
    { "amqp://10.0.0.1 amqp://broker/v", true },
    { "amqp://broker amqp://10.0.0.1/v", true },
    { "amqp://10.0.0.1 amqp://u:p@[::1]:5672/v", false },
};

START_TEST(names_are_verified_and_addresses_cannot_be)
{
    char one[128];
    struct config *config = set(setting(one, "uri", uris[_i].uri), NULL);

    ck_assert_int_eq(config->broker.verify_host_name, uris[_i].verify);
    config_free(config);
    config = set(one, "broker.verify_host_name=true");
    ck_assert(config->broker.verify_host_name);
    config_free(config);
}
END_TEST

/* Where outcomes may go by default */

static const struct {
    const char *reply_to;
    bool allowed;
} replies[] = {
    { "portal.replies", true },
    { "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e", true },
    { "spring.gen-x_Y1", true },
    { "celery@node:1/a+b=c", true },
    { "amq.gen-JzTY20BRgKO-HjmUJj0wLg", true },
    { "amq.rabbitmq.reply-to.g1h2AA9yZXBseUAxMjM+/w==.Zq-3_a/b+c==", true },
    { "amq.rabbitmq.log", false },
    { "amq.direct", false },
    { "amq.", false },
    { "amq.gen-", false },
    { "amq.gen-a/b", false },
    { "", false },
    { ".hidden", false },
    { "a b", false },
    { "a\nb", false },
    { "a\n", false },
    { "x*#", false },
};

START_TEST(default_pattern_of_reply_to)
{
    struct config *config = set(NULL, NULL);
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    PCRE2_SIZE offset;
    int code;
    pcre2_code *pattern = pcre2_compile((PCRE2_SPTR)config->reply_to, PCRE2_ZERO_TERMINATED,
                                        PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &offset, NULL);
    const char *reply_to = replies[_i].reply_to;

    ck_assert_ptr_nonnull(pattern);
    code = pcre2_match(pattern, (PCRE2_SPTR)reply_to, strlen(reply_to), 0, 0, match, NULL);
    ck_assert_int_eq(code >= 0, replies[_i].allowed);
    pcre2_match_data_free(match);
    pcre2_code_free(pattern);
    config_free(config);
}
END_TEST

/* Retries */

START_TEST(retries_wait_longer_each_time_and_then_as_long_as_the_last)
{
    struct config *config = load_good("[limits]\nretry_delays = 5s 2m  1h\n");

    ck_assert_int_eq(config_retry_delay(config, 1), 5);
    ck_assert_int_eq(config_retry_delay(config, 2), 5);
    ck_assert_int_eq(config_retry_delay(config, 3), 120);
    ck_assert_int_eq(config_retry_delay(config, 4), 3600);
    ck_assert_int_eq(config_retry_delay(config, 5), 3600);
    ck_assert_int_eq(config_retry_delay(config, 1000000), 3600);
    config_free(config);
}
END_TEST

START_TEST(delays_are_listed_once_each)
{
    struct config *config = load_good("[limits]\nretry_delays =  60s 1s 1m 24h 1s 2s 3s 4s \n");
    int delays[RETRY_DELAYS_MAX];

    ck_assert_uint_eq(config_retry_delays(config, delays), 6);
    ck_assert_int_eq(delays[0], 60);
    ck_assert_int_eq(delays[1], 1);
    ck_assert_int_eq(delays[2], 86400);
    ck_assert_int_eq(delays[3], 2);
    ck_assert_int_eq(delays[5], 4);
    config_free(config);
    config = set(NULL, NULL);
    ck_assert_uint_eq(config_retry_delays(config, delays), 4);
    ck_assert_int_eq(delays[0], 5);
    ck_assert_int_eq(delays[3], 600);
    config_free(config);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array[0])))

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, defaults_are_those_of_the_header);
    tcase_add_test(tcase, file_is_read);
    tcase_add_test(tcase, long_names_and_values_are_whole);
    tcase_add_test(tcase, later_sources_win);
    tcase_add_loop_test(tcase, wrong_files_are_refused_with_the_line, 0, COUNT(wrong_files));
    tcase_add_test(tcase, hopeless_files_are_refused);
    tcase_add_test(tcase, host_count_is_bounded);
    tcase_add_test(tcase, environment_and_command_line_name_themselves);
    tcase_add_test(tcase, complaints_do_not_show_the_password);
    tcase_add_test(tcase, secrets_must_not_be_open_to_all);
    tcase_add_test(tcase, brokers_are_told_apart);
    tcase_add_test(tcase, certificates_fit_together);
    tcase_add_loop_test(tcase, names_are_verified_and_addresses_cannot_be, 0, COUNT(uris));
    tcase_add_loop_test(tcase, default_pattern_of_reply_to, 0, COUNT(replies));
    tcase_add_test(tcase, retries_wait_longer_each_time_and_then_as_long_as_the_last);
    tcase_add_test(tcase, delays_are_listed_once_each);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
