/* SPDX-License-Identifier: BSD-2-Clause */
/* Dates in requests: the form that is sent today, and two of old that RFC 9110 wants read all the same. */
#include "core/http.h"
#include "core/text.h"

typedef struct Date {
        unsigned year, month, day, hour, minute, second;        /* month: 0..11 */
} Date;

static bool is_letter(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool add_digit(char c, unsigned *n) {
        if (c < '0' || c > '9')
                return false;
        *n = *n * 10 + (unsigned) (c - '0');
        return true;
}

static bool find_month(Slice s, unsigned *ret) {
        static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

        for (unsigned i = 0; i < ELEMENTSOF(months); i++)
                if (slice_equal(s, slice_of(months[i]))) {
                        *ret = i;
                        return true;
                }
        return false;
}

/*
 * d, h, m, s, y: a digit of day, hour, minute, second, year; _: the same for the day, or a blank; @@@: a month; a: any
 * letter; all else stands for itself.
 */
static bool match(Slice s, const char *pattern, Date *ret) {
        Date d = { 0 };

        if (s.size != strlen(pattern))
                return false;
        for (size_t i = 0; i < s.size; i++) {
                const char c = s.data[i];
                bool good;

                switch (pattern[i]) {
                case 'd':
                        good = add_digit(c, &d.day);
                        break;
                case '_':
                        good = c == ' ' || add_digit(c, &d.day);
                        break;
                case 'h':
                        good = add_digit(c, &d.hour);
                        break;
                case 'm':
                        good = add_digit(c, &d.minute);
                        break;
                case 's':
                        good = add_digit(c, &d.second);
                        break;
                case 'y':
                        good = add_digit(c, &d.year);
                        break;
                case 'a':
                        good = is_letter(c);
                        break;
                case '@':
                        good = find_month((Slice){ s.data + i, 3 }, &d.month);
                        i += 2;
                        break;
                default:
                        good = c == pattern[i];
                }
                if (!good)
                        return false;
        }
        *ret = d;
        return true;
}

static bool is_leap(unsigned year) {
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* What is before 1970 is as old as can be. */
static int to_realtime(const Date *d, usec_t *ret) {
        static const unsigned lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        uint64_t days = d->day - 1;

        if (d->day < 1 || d->day > lengths[d->month] + (d->month == 1 && is_leap(d->year)) || d->hour > 23 ||
            d->minute > 59 || d->second > 60)
                return TEXT_BAD;
        if (d->year < 1970) {
                *ret = 0;
                return 0;
        }
        for (unsigned month = 0; month < d->month; month++)
                days += lengths[month] + (month == 1 && is_leap(d->year));
        for (unsigned year = 1970; year < d->year; year++)
                days += 365 + is_leap(year);
        *ret = (((days * 24 + d->hour) * 60 + d->minute) * 60 + d->second) * USEC_PER_SEC;
        return 0;
}

int http_date_from_text(Slice s, usec_t *ret) {
        Slice rest = s, weekday;
        Date d;

        if (match(s, "aaa @@@ _d hh:mm:ss yyyy", &d))
                return to_realtime(&d, ret);

        /* Behind the day of the week, whichever it is said to be. */
        if (!slice_split(&rest, ',', &weekday) || !rest.data || weekday.size == 0)
                return TEXT_BAD;
        for (size_t i = 0; i < weekday.size; i++)
                if (!is_letter(weekday.data[i]))
                        return TEXT_BAD;
        if (match(rest, " dd @@@ yyyy hh:mm:ss GMT", &d))
                return to_realtime(&d, ret);
        if (!match(rest, " dd-@@@-yy hh:mm:ss GMT", &d))
                return TEXT_BAD;
        d.year += d.year < 70 ? 2000 : 1900;
        return to_realtime(&d, ret);
}
