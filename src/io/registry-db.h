/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * RegistryDb: the registration server's records on disk: PeerInfo in, PeerInfo out. The one place that knows which
 * database it is (SQLite, one file): another engine would be another implementation of these seven functions.
 *
 * One thread at a time: the program opens and loads, then hands it to its commit thread.
 *
 * Leases are points on CLOCK_BOOTTIME, which means nothing after a reboot. So with them are kept the boot they belong
 * to and the BOOTTIME of the last write: same boot, the point counts; another boot, each goes on with what was left at
 * the last write (protocol, section 2).
 */

#include "core/base.h"
#include "core/peer-list.h"
#include "io/boot-id.h"

typedef struct RegistryDb RegistryDb;

/* Answers */
enum {
        REGISTRY_DB_DAMAGED = 1,        /* damaged or not ours: it was moved aside, an empty one is in use */
};

/*
 * Opens the file, made 0600 where there is none. 0, REGISTRY_DB_DAMAGED (*ret is set too: the damaged file is now
 * NAME.damaged-N, the program says so), -EBUSY (another process has it), -errno. A commit is on disk when it returns.
 */
int registry_db_open(const char *path, RegistryDb **ret) _must_check_;
RegistryDb *registry_db_close(RegistryDb *db);
DEFINE_CLEANUP(RegistryDb *, registry_db_close)

/* What a load found. */
typedef struct RegistryDbLoaded {
        uint32_t last_id;               /* the highest id ever given; 0: none */
        size_t n_loaded;
        size_t n_skipped;               /* rows that make no sense, or that the handler did not want */
        bool same_boot;                 /* the leases were taken as they stood */
} RegistryDbLoaded;

/*
 * Gets each record, by ascending id; host is valid during the call. 0; > 0: not wanted (counted as skipped); -errno:
 * ends the load.
 */
typedef int (*RegistryDbHandler)(const PeerInfo *info, void *userdata);

/* How many records there are: for who makes room before a load. 0, -errno. */
int registry_db_count(RegistryDb *db, size_t *ret) _must_check_;
/* All records, their leases on this boot's clock (which the file then has too). 0, -errno. */
int registry_db_load(RegistryDb *db, const BootId *boot_id, const Now *now, RegistryDbHandler handler, void *userdata,
                     RegistryDbLoaded *ret) _must_check_;

/* What is to be written at once, with the clock at which it was so. All borrowed. */
typedef struct RegistryDbBatch {
        const PeerInfo *records;
        size_t n_records;
        const uint32_t *deleted_ids;    /* may name ids that are not there */
        size_t n_deleted;
        uint32_t last_id;
        BootId boot_id;
        Now now;
} RegistryDbBatch;

/* One transaction: on disk whole when this returns 0, else nothing of it is. -errno. */
int registry_db_write(RegistryDb *db, const RegistryDbBatch *batch) _must_check_;

/* Reads one row: does the disk still answer? (watchdog) 0, -errno. */
int registry_db_check(RegistryDb *db) _must_check_;
