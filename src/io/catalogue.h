/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Catalogue: what the library found out about its documents, kept in SQLite so that a second start reads none of
 * them. It is a cache: one that is lost costs a scan that reads everything. Private to the library.
 *
 * Beside that it keeps, in a table of its own, what people said of a number and what happened to it (CatalogueCare):
 * that can't be found out anew, and goes only with a damaged file. A file of an older version has no such table, and
 * gets one; an older version does not look at it.
 *
 * Changes are gathered in one transaction until catalogue_commit(). Device numbers are not kept, they are handed out
 * anew at each boot.
 */

#include "core/base.h"
#include "io/library.h"

typedef struct Catalogue Catalogue;

typedef struct CatalogueRow {
        uint32_t number;
        LibraryStamp stamp;             /* device is 0 in what was loaded */
        Digest digest;
        const char *text_title;         /* out of the document; NULL: none there */
        LibraryStamp json;              /* of rfcN.json; all 0: not there */
        const char *json_title;         /* NULL: none in it */
} CatalogueRow;

/* Nothing is kept of a number of which all but the number is 0. */
typedef struct CatalogueCare {
        uint32_t number;
        bool pinned;
        usec_t read_at;                 /* realtime; 0: not known */
        bool damaged;                   /* the file with this stamp does not have the bytes it should have */
        LibraryStamp stamp;
        Digest expected;                /* what they should give */
} CatalogueCare;

/* Answers */
enum {
        CATALOGUE_DAMAGED = 1,          /* open: moved aside and made anew; usable */
};

int catalogue_open(const char *path, Catalogue **ret) _must_check_;
/* Without a commit the last changes are lost. */
Catalogue *catalogue_free(Catalogue *c);
DEFINE_CLEANUP(Catalogue *, catalogue_free)

/*
 * Calls row() for each one, ascending by number, until it gives something else than 0, which is forwarded. Rows that
 * make no sense are passed over.
 */
int catalogue_load(Catalogue *c, int (*row)(const CatalogueRow *row, void *userdata), void *userdata) _must_check_;
int catalogue_put(Catalogue *c, const CatalogueRow *row) _must_check_;
int catalogue_remove(Catalogue *c, uint32_t number) _must_check_;
int catalogue_load_care(Catalogue *c, int (*row)(const CatalogueCare *care, void *userdata),
                        void *userdata) _must_check_;
int catalogue_put_care(Catalogue *c, const CatalogueCare *care) _must_check_;
/* After an error here or above, what was changed since the last commit is not in the file. */
int catalogue_commit(Catalogue *c) _must_check_;
