/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The daemon's command line, by getopt_long. */

#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define CONFIG_DEFAULT "/etc/virtjob/virtjobd.conf"

static void usage(FILE *to)
{
    fputs("Usage: virtjobd [--config FILE] [--broker URI] [--host NAME=URI]...\n"
          "                [--set SECTION.KEY=VALUE]... [--check]\n"
          "\n"
          "Takes jobs from RabbitMQ, runs them against libvirt, publishes one outcome for each.\n"
          "\n"
          "  -c, --config FILE            the configuration; default " CONFIG_DEFAULT " if it is there\n"
          "  -b, --broker URI             amqp://user@host:5672/vhost or amqps://...\n"
          "  -H, --host NAME=URI          a host and its libvirt connection, as node1=qemu:///system\n"
          "  -s, --set SECTION.KEY=VALUE  any option of virtjobd.conf(5)\n"
          "      --check                  reads the configuration, says what is wrong with it, and ends\n"
          "      --version                prints the version, and ends\n"
          "  -h, --help                   prints this, and ends\n"
          "\n"
          "Example:\n"
          "  virtjobd --broker amqp://guest:guest@localhost/ --host node1=qemu:///system\n"
          "\n"
          "Exit status: 0 ended by a signal, or nothing to say against the configuration;\n"
          "1 could not start; 2 wrong usage or configuration.\n",
          to);
}

static void arguments_add(struct arguments *arguments, const char *prefix, const char *text)
{
    char *set = NULL;

    if (arguments->set_count == ARGUMENTS_SETS_MAX || asprintf(&set, "%s%s", prefix, text) < 0) {
        fprintf(stderr, "virtjobd: too many options\n");
        exit(2);
    }
    arguments->sets[arguments->set_count++] = set;
}

/* NAME=URI, as "host NAME.uri=URI". */
static void arguments_add_host(struct arguments *arguments, const char *text)
{
    const char *equals = strchr(text, '=');
    AUTO(string) char *set = NULL;

    if (!equals || asprintf(&set, "host %.*s.uri%s", (int)(equals - text), text, equals) < 0) {
        fprintf(stderr, "virtjobd: --host wants NAME=URI, as node1=qemu:///system, not '%s'\n", text);
        exit(2);
    }
    arguments_add(arguments, "", set);
}

void arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "broker", required_argument, NULL, 'b' },
        { "host", required_argument, NULL, 'H' },   { "set", required_argument, NULL, 's' },
        { "check", no_argument, NULL, 'k' },        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },         { 0 },
    };
    int option;

    *arguments = (struct arguments){ 0 };
    while ((option = getopt_long(argc, argv, "c:b:H:s:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            arguments->config_path = optarg;
            break;
        case 'b':
            arguments_add(arguments, "broker.uri=", optarg);
            break;
        case 'H':
            arguments_add_host(arguments, optarg);
            break;
        case 's':
            arguments_add(arguments, "", optarg);
            break;
        case 'k':
            arguments->check = true;
            break;
        case 'v':
            puts("virtjobd " VIRTJOB_VERSION);
            exit(0);
        case 'h':
            usage(stdout);
            exit(0);
        default:
            fprintf(stderr, "Try 'virtjobd --help'.\n");
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "virtjobd: unexpected argument '%s'; try 'virtjobd --help'\n", argv[optind]);
        exit(2);
    }
    if (!arguments->config_path && access(CONFIG_DEFAULT, F_OK) == 0)
        arguments->config_path = CONFIG_DEFAULT;
}

void arguments_done(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->set_count; i++)
        free(arguments->sets[i]);
    arguments->set_count = 0;
}
