/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the files of the guest area share. */

#ifndef VIRTJOB_GUEST_INTERNAL_H
#define VIRTJOB_GUEST_INTERNAL_H

#include <libxml/tree.h>

#include "guest.h"
#include "stamp.h"

/* The handlers, each in the file of its name. */
int guest_define(struct job *job, json_t **ret_result, struct error *err);
int guest_start(struct job *job, json_t **ret_result, struct error *err);
int guest_destroy(struct job *job, json_t **ret_result, struct error *err);
int guest_shutdown(struct job *job, json_t **ret_result, struct error *err);
int guest_undefine(struct job *job, json_t **ret_result, struct error *err);
int guest_info(struct job *job, json_t **ret_result, struct error *err);
int guest_list(struct job *job, json_t **ret_result, struct error *err);
int guest_provision(struct job *job, json_t **ret_result, struct error *err);
int guest_save(struct job *job, json_t **ret_result, struct error *err);
int guest_restore(struct job *job, json_t **ret_result, struct error *err);
int guest_save_image_info(struct job *job, json_t **ret_result, struct error *err);
int guest_migrate(struct job *job, json_t **ret_result, struct error *err);
int guest_managed_save(struct job *job, json_t **ret_result, struct error *err);
int guest_managed_save_remove(struct job *job, json_t **ret_result, struct error *err);

int guest_define_sweep(struct job *job, struct error *err);
int guest_provision_sweep(struct job *job, struct error *err);
int guest_save_sweep(struct job *job, struct error *err);
int guest_migrate_sweep(struct job *job, struct error *err);

/* As many may be cloned: maxItems of guest.provision.json. */
#define GUEST_DISKS_MAX 32

/* guest.c */

/* Whether the text has the form of a UUID. */
bool guest_is_uuid(const char *text);

/* By name or by UUID alone: `by` is virDomainLookupBy…. *ret_dom is NULL where there is none. */
int guest_find_by(virConnectPtr conn, virDomainPtr (*by)(virConnectPtr, const char *), const char *guest,
                  virDomainPtr *ret_dom, struct error *err);

/* As guest_lookup, for a job that turns the guest off. A transient guest goes with its end, so an earlier attempt may
 * have done it where there is none any more: then *ret_dom is NULL, and *ret_guest says that it is off. */
int guest_lookup_off(struct job *job, virDomainPtr *ret_dom, json_t **ret_guest, struct error *err);

/* 1 active, 0 off or gone, -1 not known. */
int guest_is_active(virDomainPtr dom, struct error *err);

/* Whether libvirt's last error says that the guest is not there. */
bool guest_is_gone(void);

/* {name, uuid}: what an undo needs to find the guest. NULL: no memory. */
json_t *guest_identity(virDomainPtr dom);

/* The same, back: *ret_dom is NULL where the guest is gone. By UUID alone, which nobody can take over. */
int guest_from_identity(virConnectPtr conn, const json_t *identity, virDomainPtr *ret_dom, struct error *err);

/* guest_start.c, guest_destroy.c */

/* Turns it off. 1 done, 0 where it was off, -1. */
int guest_power_off(virDomainPtr dom, unsigned int flags, struct error *err);

/* Whether a start is at work on it, which may still fail: one that an earlier attempt has begun, say. It counts as active. */
bool guest_is_starting(virDomainPtr dom);

/* Starts it; job_undo'able by guest_undo_start with guest_identity, where the job has defined it as well. 1 done, 0
 * where it ran, -1. */
int guest_power_on(virDomainPtr dom, unsigned int flags, struct error *err);
int guest_undo_start(struct job *job, const json_t *identity, struct error *err);

/* guest_save_work.c: whether libvirt saves it just now, whoever has asked for that: 1, 0 (or it is gone), -1. */
int guest_save_is_at_work(virDomainPtr dom, struct error *err);

/* Aborts that, and waits until it has ended: no longer than half a minute, then ERROR_BUSY. */
int guest_save_abort(struct job *job, virDomainPtr dom, struct error *err);

/* guest_define.c: a definition, ready to be given to libvirt. */
struct guest_definition {
    xmlDocPtr doc;
    char *name;
    char *uuid;
    const char *name_where; /* JSON pointer of what gave it, for errors; static */
    const char *uuid_where;
    bool template; /* for a new guest with volumes of its own */
    bool replaces; /* there is a definition of it already */
};

/* Parses params.xml and puts in params.name and params.uuid. Without a UUID the job's own id is the guest's, so that
 * the same job never makes two. The UUID of a `template` is the template's, and does not count. guest_definition_done
 * in any case. */
int guest_definition_init(struct job *job, bool template, struct guest_definition *definition,
                          struct error *err);
void guest_definition_done(struct guest_definition *definition);

static inline void cleanup_guest_definition(struct guest_definition *definition)
{
    guest_definition_done(definition);
}

/* ERROR_CONFLICT where another guest has the name or the UUID; *ret_dom: the guest that has both, or NULL. Where the
 * UUID is only the job's id, the guest of that name lends its own, so that it may be replaced. */
int guest_definition_compare(struct job *job, struct guest_definition *definition, bool replace,
                             virDomainPtr *ret_dom, struct error *err);

/* Gives it to libvirt, with the job's stamp; nothing is undone. A safe point. */
int guest_definition_apply(struct job *job, struct guest_definition *definition, virDomainPtr *ret_dom,
                           struct error *err);

/* The same for a guest that was not there; has registered the undo. */
int guest_definition_create(struct job *job, struct guest_definition *definition, virDomainPtr *ret_dom,
                            struct error *err);

/* guest_define_undo.c: registers how a guest that the job has defined so is undefined; guest_identity is stolen. */
int guest_definition_undo(struct job *job, const struct guest_definition *definition, json_t *identity,
                          struct error *err);

/* guest_stamp.c: what ties a guest to the job that made it. */

/* Puts in the job's stamp, as intended. */
int guest_definition_stamp(struct job *job, struct guest_definition *definition, struct error *err);

/* The guest that an earlier attempt has made of it, which carries this job's stamp; *ret_dom is NULL where there is
 * none. */
int guest_find_own(struct job *job, const struct guest_definition *definition, struct stamp *ret_stamp,
                   virDomainPtr *ret_dom, struct error *err);

/* Whether the guest carries this job's stamp: 1, 0, -1. Where the driver keeps no stamps it counts as the job's: that
 * it has its UUID must do. */
int guest_is_own(struct job *job, virDomainPtr dom, struct error *err);

/* Finishes the stamp of the guest that the job has made, if any; `template` as of guest_definition_init. */
int guest_sweep(struct job *job, bool template, struct error *err);

/* guest_save.c: VIR_DOMAIN_SAVE_* of the parameters bypass_cache and state, which all have that save or restore. */
unsigned int guest_save_flags(const struct job *job);

/* guest_undefine.c: VIR_DOMAIN_UNDEFINE_* for all that libvirt keeps beside the guest's definition, which is `doc`. */
unsigned int guest_undefine_flags(virDomainPtr dom, xmlDocPtr doc, bool keep_nvram);

/* guest_secrets.c: where `doc`, which a requester may have made of what he was shown, leaves out the password of a display, puts
 * in that of `own`, the guest's XML with its secrets: without any, everybody may look. One that it has stays. */
int guest_keep_secrets(xmlDocPtr doc, xmlDocPtr own, struct error *err);

/* guest_volumes.c: deletes the volumes of the disks in `doc`, what must or can not go is kept. Adds to the arrays
 * `deleted` {device, pool, volume, path} and `kept` {device, path?, reason}. */
int guest_volumes_delete(struct job *job, virDomainPtr dom, xmlDocPtr doc, json_t *deleted, json_t *kept,
                         struct error *err);

/* guest_devices.c */

/* {device, kind, bus?, type, path?, pool?, volume?, protocol?, format?, readonly, shareable} of a <disk>; NULL: no
 * memory. */
json_t *guest_disk_describe(xmlNodePtr disk);

/* {type, mac?, source?, target?, model?} of an <interface>; NULL: no memory. */
json_t *guest_interface_describe(xmlNodePtr interface);

/* Array of {interface, mac?, address, prefix, family}: asks `source`, one of "lease", "agent", "arp". */
int guest_addresses_describe(virDomainPtr dom, const char *source, json_t **ret_addresses, struct error *err);

/* guest_list.c: VIR_CONNECT_LIST_DOMAINS_* of the filter of that name in guest.list.json; 0 for an unknown one. */
unsigned int guest_list_flag(const char *filter);

/* guest_provision.c: a provision under way. */
struct provision {
    struct job *job;
    const json_t *disks;
    struct guest_definition definition;
    virDomainPtr dom; /* NULL: not defined yet */
    bool running;     /* an earlier attempt has started it */
    bool over;        /* it is all done, and the outcome is known: nothing may be undone */
    /* By disk: an earlier attempt has made its volume, or begun to, as the record says; or it has made it, as the guest
     * says, for there is no record. */
    bool begun[GUEST_DISKS_MAX];
    bool made[GUEST_DISKS_MAX];
};

/* "/params/disks/<i><member>" */
#define GUEST_WHERE_SIZE 64
void guest_disk_where(char ret_where[GUEST_WHERE_SIZE], size_t i, const char *member);

/* guest_provision_again.c: takes over what an earlier attempt has left, with all undos, and makes nothing. No safe
 * point. */
int guest_provision_take_over(struct provision *provision, struct error *err);

/* guest_template.c: a template's XML made into one of a new guest. */

/* The <disk> with this target device; NULL where there is none. */
xmlNodePtr guest_template_disk(xmlDocPtr doc, const char *device);

/* Points it at the volume, which has this format. */
int guest_template_point(xmlNodePtr disk, virStorageVolPtr volume, const char *format, struct error *err);

/* Removes what two guests must not share: the path of NVRAM, the generation id, MAC addresses beyond those in `macs`
 * (array of strings, in the order of the interfaces; NULL: none); and sets the UUID wherever it is told to the guest.
 * ERROR_INVALID at /params/macs/<i> where there are fewer interfaces. */
int guest_template_renew(xmlDocPtr doc, const char *uuid, const json_t *macs, struct error *err);

#endif
