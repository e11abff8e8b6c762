/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses, endpoints and prefixes as text, and sixteen bytes as an address. */
#include "core/address.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const Address *a) {
        const Address source = address_source(a);
        char text[ADDRESS_TEXT_SIZE];
        Address again;

        address_to_text(a, text);
        assert(strlen(text) < ADDRESS_TEXT_SIZE);
        assert(address_from_text(slice_of(text), &again) == 0 && address_equal(a, &again));
        again = address_source(&source);
        assert(address_equal(&source, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Slice s = { (const char *) data, size };
        Address address;
        Endpoint endpoint, endpoint_again;
        Prefix prefix, prefix_again;

        if (size == sizeof(address.bytes)) {
                memcpy(address.bytes, data, size);
                check_address(&address);
        }
        if (address_from_text(s, &address) == 0) {
                check_address(&address);
                assert(prefix_from_text(s, &prefix) == 0 && prefix_contains(&prefix, &address));
        }
        if (endpoint_from_text(s, &endpoint) == 0) {
                char text[ENDPOINT_TEXT_SIZE];

                assert(endpoint.port > 0);
                endpoint_to_text(&endpoint, text);
                assert(endpoint_from_text(slice_of(text), &endpoint_again) == 0);
                assert(endpoint_equal(&endpoint, &endpoint_again) && endpoint_compare(&endpoint, &endpoint_again) == 0);
        }
        if (prefix_from_text(s, &prefix) == 0) {
                char text[ADDRESS_TEXT_SIZE + 4];

                prefix_to_text(&prefix, text);
                assert(prefix_from_text(slice_of(text), &prefix_again) == 0 && prefix.bits == prefix_again.bits);
                assert(address_equal(&prefix.address, &prefix_again.address));
        }
        return 0;
}
