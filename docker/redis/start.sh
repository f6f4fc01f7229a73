#!/bin/sh
# Write the ACL file with hashes of the two passwords, then become the server. Arguments go to the server.
set -eu
umask 077
here=${REDIS_CONFIG_DIR:-/etc/datainf}
acl=${REDIS_ACL_FILE:-/run/datainf/users.acl}

hash() {
    printf %s "$1" | sha256sum | cut -d ' ' -f 1
}

for name in REDIS_API_PASSWORD REDIS_WORKER_PASSWORD; do
    eval "value=\${$name:-}"
    if [ "${#value}" -lt 16 ]; then
        echo "$name must be set and have at least 16 characters" >&2
        exit 2
    fi
done

sed -e "s/@API_HASH@/$(hash "$REDIS_API_PASSWORD")/" \
    -e "s/@WORKER_HASH@/$(hash "$REDIS_WORKER_PASSWORD")/" \
    "$here/users.acl.template" > "$acl"
unset REDIS_API_PASSWORD REDIS_WORKER_PASSWORD value
exec "${REDIS_SERVER:-redis-server}" "$here/redis.conf" --dir "${REDIS_DATA_DIR:-/data}" --aclfile "$acl" "$@"
