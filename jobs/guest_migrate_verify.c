/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Where a guest is after a migration, or an attempt at one: looks at both sides, judges what it sees, and clears up what
 * libvirt has left. */

#include "guest_migrate_internal.h"

#include <stdio.h>
#include <time.h>

#include "events_names.h"
#include "kill_point.h"
#include "monotonic.h"
#include "xml.h"

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 1000
#define WHOLE_MS     60000 /* of a verification, more only where a host keeps us waiting */

/* The table. */

static enum migration_place judge_off_here(const struct migration_sides *sides, bool offline, bool undefine)
{
    bool defined = sides->here.sight == SIGHT_OFF;

    switch (sides->there.sight) {
    case SIGHT_ON:
        return defined && undefine ? PLACE_HALF : PLACE_THERE;
    case SIGHT_OFF:
        if (!offline)
            return PLACE_NOWHERE;
        return defined ? PLACE_DEFINED : PLACE_THERE;
    case SIGHT_ABSENT:
        return offline && defined ? PLACE_HERE : PLACE_NOWHERE;
    default:
        return PLACE_BETWEEN;
    }
}

static enum migration_place judge_on_here(const struct migration_sides *sides)
{
    switch (sides->there.sight) {
    case SIGHT_ON:
        return PLACE_BOTH;
    case SIGHT_BETWEEN:
        return PLACE_REMNANT;
    default:
        return PLACE_HERE;
    }
}

enum migration_place migration_judge(const struct migration_sides *sides, bool offline, bool undefine)
{
    if (sides->here.sight == SIGHT_UNKNOWN)
        return PLACE_UNKNOWN;
    if (sides->at_work)
        return PLACE_AT_WORK;
    if (sides->there.sight == SIGHT_UNKNOWN)
        return PLACE_UNKNOWN;
    if (sides->here.sight == SIGHT_BROKEN || sides->there.sight == SIGHT_BROKEN)
        return PLACE_BROKEN;
    if (sides->here.sight == SIGHT_BETWEEN)
        return PLACE_BETWEEN;
    return sides->here.sight == SIGHT_ON ? judge_on_here(sides) : judge_off_here(sides, offline, undefine);
}

/* One look. */

static enum migration_sight sight_of(int state, int reason)
{
    if (state == VIR_DOMAIN_SHUTOFF)
        return SIGHT_OFF;
    if (state == VIR_DOMAIN_RUNNING && reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)
        return SIGHT_BROKEN;
    if (state != VIR_DOMAIN_PAUSED)
        return SIGHT_ON;
    switch (reason) {
    case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
        return SIGHT_BROKEN;
    case VIR_DOMAIN_PAUSED_MIGRATION:
    case VIR_DOMAIN_PAUSED_STARTING_UP:
    case VIR_DOMAIN_PAUSED_POSTCOPY:
        return SIGHT_BETWEEN;
    default:
        return SIGHT_ON;
    }
}

/* A guest that goes away meanwhile was transient. */
static int side_read(virDomainPtr dom, struct migration_side *side, struct error *err)
{
    int persistent = virDomainIsPersistent(dom);

    if (persistent < 0 || virDomainGetState(dom, &side->state, &side->reason, 0) < 0) {
        if (!guest_is_gone())
            return error_set_libvirt(err, "reading the state of guest '%s'", virDomainGetName(dom));
        side->sight = SIGHT_ABSENT;
        return 0;
    }
    side->persistent = persistent;
    side->sight = sight_of(side->state, side->reason);
    return 0;
}

static int side_look(virConnectPtr conn, const char *uuid, struct migration_side *side, virDomainPtr *ret_dom,
                     struct error *err)
{
    if (guest_find_by(conn, virDomainLookupByUUIDString, uuid, ret_dom, err) < 0)
        return -1;
    side->sight = SIGHT_ABSENT;
    return *ret_dom ? side_read(*ret_dom, side, err) : 0;
}

static int look_at_work(virDomainPtr dom, bool *ret_at_work, struct error *err)
{
    struct guest_stats stats;

    if (guest_stats_read(dom, false, &stats, err) < 0)
        return -1;
    *ret_at_work =
        stats.type != VIR_DOMAIN_JOB_NONE && stats.operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT;
    return 0;
}

static int look_here(struct migration *m, struct migration_sides *sides, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    virConnectPtr conn = NULL;
    int rc;

    if (job_query_begin(m->job, &conn, err) < 0)
        return -1;
    rc = side_look(conn, m->uuid, &sides->here, &dom, err);
    if (rc == 0 && dom && sides->here.sight > SIGHT_OFF)
        rc = look_at_work(dom, &sides->at_work, err);
    if (dom)
        virDomainFree(STEAL(&dom));
    job_query_end(m->job, conn);
    return rc;
}

static int look_there(struct migration *m, struct migration_sides *sides, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    virConnectPtr conn = NULL;
    int rc;

    if (job_peer_begin(m->job, m->destination, &conn, err) < 0)
        return -1;
    rc = side_look(conn, m->uuid, &sides->there, &dom, err);
    if (dom)
        virDomainFree(STEAL(&dom));
    job_peer_end(m->job, m->destination, conn);
    return rc;
}

void migration_look(struct migration *m)
{
    struct migration_sides sides = { 0 };

    if (look_here(m, &sides, &sides.here.error) < 0)
        sides.here.sight = SIGHT_UNKNOWN;
    if (look_there(m, &sides, &sides.there.error) < 0)
        sides.there.sight = SIGHT_UNKNOWN;
    m->sides = sides;
    m->place = migration_judge(&sides, m->plan.offline, m->plan.undefine);
}

/* Clearing up. */

/* Once more, right before. */
static bool still_is(struct migration *m, enum migration_place place)
{
    migration_look(m);
    return m->place == place;
}

static void destroy_there(struct migration *m, virConnectPtr conn)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByUUIDString(conn, m->uuid);

    if (!dom || !still_is(m, PLACE_REMNANT))
        return;
    kill_point("before-destroy-remnant");
    virDomainDestroy(dom);
    kill_point("after-destroy-remnant");
}

/* What cannot be done shows at the next look. */
static void clear_remnant(struct migration *m)
{
    virConnectPtr conn = NULL;

    if (job_peer_begin(m->job, m->destination, &conn, NULL) < 0)
        return;
    destroy_there(m, conn);
    job_peer_end(m->job, m->destination, conn);
}

/* What the guest has beside its definition stays, for the hosts may share it, and it runs on it there. */
static unsigned int flags_to_undefine(virDomainPtr dom, xmlDocPtr doc)
{
    unsigned int flags = guest_undefine_flags(dom, doc, true);

    if (flags & VIR_DOMAIN_UNDEFINE_TPM)
        flags ^= VIR_DOMAIN_UNDEFINE_TPM | VIR_DOMAIN_UNDEFINE_KEEP_TPM;
    return flags;
}

static void undefine_here(struct migration *m, virConnectPtr conn)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByUUIDString(conn, m->uuid);
    AUTO(string) char *text = dom ? virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE) : NULL;
    AUTO(xml_doc) xmlDocPtr doc = text ? xml_parse(text, "domain", NULL, NULL) : NULL;

    if (!doc || !still_is(m, PLACE_HALF))
        return;
    kill_point("before-undefine-source");
    virDomainUndefineFlags(dom, flags_to_undefine(dom, doc));
    kill_point("after-undefine-source");
}

/* The migration has come to its end but for this, as where the daemon here died meanwhile. */
static void clear_definition(struct migration *m)
{
    virConnectPtr conn = NULL;

    if (job_query_begin(m->job, &conn, NULL) < 0)
        return;
    undefine_here(m, conn);
    job_query_end(m->job, conn);
}

/* With patience. */

/* How long a place must have been the same before it is believed, and what is done about it then. */
static const struct {
    int patience_ms;
    void (*clear)(struct migration *m);
} places[] = {
    [PLACE_UNKNOWN] = { WHOLE_MS, NULL },
    [PLACE_BETWEEN] = { 30000, NULL },
    [PLACE_HALF] = { 3000, clear_definition },
    [PLACE_REMNANT] = { 5000, clear_remnant },
    [PLACE_NOWHERE] = { 2000, NULL },
    [PLACE_BOTH] = { 5000, NULL },
    [PLACE_BROKEN] = { 0, NULL },
};

bool migration_is_given_up(struct migration *m, struct error *err)
{
    struct error stop = ERROR_INIT;

    if (job_safe_point(m->job, &stop) == 0 || stop.code != ERROR_INTERRUPTED)
        return false;
    *err = stop;
    return true;
}

void migration_pause(struct migration *m, int ms)
{
    const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L };

    if (job_wait(m->job, ms, NULL) < 0)
        nanosleep(&pause, NULL);
}

/* Between two looks. */
struct patience {
    int64_t begun_ms, since_ms; /* since when the place is what it is */
    enum migration_place place;
    bool cleared; /* something has been done about it */
};

/* Whether the place is believed, and nothing is left to be done. */
static bool patience_is_over(struct patience *patience, struct migration *m)
{
    int64_t now_ms = monotonic_now_ms();
    bool believed;

    if (m->place != patience->place)
        patience->since_ms = now_ms;
    patience->place = m->place;
    believed = now_ms - patience->since_ms >= places[m->place].patience_ms;
    if (now_ms - patience->begun_ms >= WHOLE_MS)
        return true;
    if (!believed || !places[m->place].clear)
        return believed;
    if (patience->cleared)
        return true;
    patience->cleared = true;
    places[m->place].clear(m);
    return false;
}

int migration_verify(struct migration *m, struct error *err)
{
    int64_t now_ms = monotonic_now_ms();
    struct patience patience = { .begun_ms = now_ms, .since_ms = now_ms, .place = PLACE_AT_WORK };

    for (int pause_ms = PAUSE_MIN_MS;; pause_ms = pause_ms < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS) {
        if (migration_is_given_up(m, err))
            return -1;
        migration_look(m);
        if (patience_is_over(&patience, m))
            return 0;
        migration_pause(m, pause_ms);
    }
}

/* What was seen. */

static void side_describe(const struct migration_side *side, char *text, size_t size)
{
    switch (side->sight) {
    case SIGHT_UNKNOWN:
        snprintf(text, size, "unknown (%s)", side->error.message);
        break;
    case SIGHT_ABSENT:
        snprintf(text, size, "absent");
        break;
    default:
        snprintf(text, size, "%s (%s)", events_state_name(side->state),
                 events_reason_name(side->state, side->reason));
    }
}

static const struct {
    enum error_code code;
    bool uncertain;
    const char *what;
} tellings[] = {
    [PLACE_UNKNOWN] = { ERROR_CONNECTION_LOST, true, "it cannot be known where the guest is" },
    [PLACE_THERE] = { ERROR_INTERNAL, false, "the guest is there" },
    [PLACE_HERE] = { ERROR_LIBVIRT, false, "the guest is where it was" },
    [PLACE_HALF] = { ERROR_LIBVIRT, false, "the guest is there, but its definition here cannot be removed" },
    [PLACE_AT_WORK] = { ERROR_BUSY, false, "the guest is being migrated" },
    [PLACE_BETWEEN] = { ERROR_LIBVIRT, true, "the migration has come to no end" },
    [PLACE_REMNANT] = { ERROR_LIBVIRT, false,
                        "the guest is where it was, but something is left at the destination" },
    [PLACE_DEFINED] = { ERROR_LIBVIRT, false, "the guest is defined at both hosts" },
    [PLACE_NOWHERE] = { ERROR_LIBVIRT, false, "the guest runs at neither host" },
    [PLACE_BOTH] = { ERROR_CONFLICT, true, "the guest runs at both hosts" },
    [PLACE_BROKEN] = { ERROR_LIBVIRT, true, "post-copy has failed: each host has a part of the guest" },
};

int migration_tell(struct migration *m, struct error *err)
{
    char here[160], there[160];

    side_describe(&m->sides.here, here, sizeof(here));
    side_describe(&m->sides.there, there, sizeof(there));
    if (tellings[m->place].uncertain)
        job_uncertain(m->job);
    error_set(err, tellings[m->place].code, "%s: guest '%s' is %s at '%s', %s at '%s'",
              tellings[m->place].what, m->name, here, m->job->host, there, m->destination);
    if (m->place == PLACE_UNKNOWN && m->sides.here.sight != SIGHT_UNKNOWN)
        error_locate(err, "/params/destination"); /* that is the host which could not be asked */
    return -1;
}
