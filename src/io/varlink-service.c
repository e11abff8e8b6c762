/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/varlink-internal.h"

#include <errno.h>

static const char service_description[] =
        "# The Varlink Service Interface is provided by every varlink service. It describes the service and the\n"
        "# interfaces it implements.\n"
        "interface org.varlink.service\n"
        "\n"
        "# Get a list of all the interfaces a service provides and information about the implementation.\n"
        "method GetInfo() -> (\n"
        "  vendor: string,\n"
        "  product: string,\n"
        "  version: string,\n"
        "  url: string,\n"
        "  interfaces: []string\n"
        ")\n"
        "\n"
        "# Get the description of an interface that is implemented by this service.\n"
        "method GetInterfaceDescription(interface: string) -> (description: string)\n"
        "\n"
        "# The requested interface was not found.\n"
        "error InterfaceNotFound(interface: string)\n"
        "\n"
        "# The requested method was not found.\n"
        "error MethodNotFound(method: string)\n"
        "\n"
        "# The interface defines the requested method, but the service does not implement it.\n"
        "error MethodNotImplemented(method: string)\n"
        "\n"
        "# One of the passed parameters is invalid.\n"
        "error InvalidParameter(parameter: string)\n"
        "\n"
        "# Client is denied access.\n"
        "error PermissionDenied()\n"
        "\n"
        "# Method is expected to be called with 'more' set to true, but wasn't.\n"
        "error ExpectedMore()\n";

static int service_get_info(VarlinkCall *call, _unused_ json_t *parameters, _unused_ void *userdata) {
        const VarlinkServerConf *conf = call->conn->server->conf;
        json_t *names, *reply;

        names = json_array();
        if (!names || json_array_append_new(names, json_string(varlink_service_interface.name)) < 0) {
                json_decref(names);
                return -ENOMEM;
        }
        for (size_t i = 0; conf->interfaces[i]; i++)
                if (json_array_append_new(names, json_string(conf->interfaces[i]->name)) < 0) {
                        json_decref(names);
                        return -ENOMEM;
                }
        reply = json_pack("{s:s, s:s, s:s, s:s, s:o}", "vendor", conf->vendor, "product", conf->product, "version",
                          conf->version, "url", conf->url, "interfaces", names);
        if (!reply)
                return -ENOMEM;
        return varlink_call_reply(call, reply);
}

static int service_get_description(VarlinkCall *call, json_t *parameters, _unused_ void *userdata) {
        const VarlinkServerConf *conf = call->conn->server->conf;
        const char *name = json_string_value(json_object_get(parameters, "interface"));
        const VarlinkInterface *found = NULL;

        if (strcmp(name, varlink_service_interface.name) == 0)
                found = &varlink_service_interface;
        for (size_t i = 0; !found && conf->interfaces[i]; i++)
                if (strcmp(name, conf->interfaces[i]->name) == 0)
                        found = conf->interfaces[i];
        /* The reply names what was asked for, but a name of a megabyte is not given back. */
        if (!found)
                return varlink_call_error(call, "org.varlink.service.InterfaceNotFound",
                                          json_pack("{s:s}", "interface", strlen(name) <= 255 ? name : ""));
        return varlink_call_reply(call, json_pack("{s:s}", "description", found->description));
}

static const VarlinkParameter service_get_description_parameters[] = {
        { "interface", VARLINK_STRING },
        {},
};

static const VarlinkMethod service_methods[] = {
        { "org.varlink.service.GetInfo", 0, NULL, service_get_info },
        { "org.varlink.service.GetInterfaceDescription", 0, service_get_description_parameters,
          service_get_description },
        {},
};

const VarlinkInterface varlink_service_interface = {
        .name = "org.varlink.service",
        .description = service_description,
        .methods = service_methods,
};
