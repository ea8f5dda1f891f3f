#!/bin/sh
# How the test keys in this directory were made, once. They are public knowledge: never trust them.
# Every key dates from 2020, so that a machine whose clock is behind can use them.
set -eu
here=$(dirname "$(readlink -f "$0")")
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill gpg-agent; rm -rf "$GNUPGHOME"' EXIT
gpg="gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase="

made() { # NAME: the key's fingerprint
    $gpg --with-colons --list-keys "$1 (Pumice test key" | awk -F: '/^fpr/ { print $10; exit }'
}
generate() { # NAME USAGE [ALGORITHM]
    $gpg --faked-system-time 20200101T000000 --quick-generate-key \
        "$1 (Pumice test key, trust it nowhere) <$1@pumice.invalid>" "${3:-ed25519}" "$2" never
}
secret() { $gpg --armor --export-secret-keys "$(made "$1")" > "$here/$1.secret.asc"; }
public() { $gpg --armor --export "$(made "$1")" > "$here/$1.asc"; }

for name in good other expired revoked; do generate $name cert,sign; secret $name; done
generate rsa cert,sign rsa2048
secret rsa
generate subkey cert
$gpg --faked-system-time 20200101T000000 --quick-add-key "$(made subkey)" ed25519 sign never
secret subkey
generate lapsed cert # its signing subkey has expired, the key itself has not
$gpg --faked-system-time 20200101T000000 --quick-add-key "$(made lapsed)" ed25519 sign never
secret lapsed

$gpg --faked-system-time 20200102T000000 --quick-set-expire "$(made expired)" 20210101T000000
$gpg --faked-system-time 20200102T000000 --quick-set-expire "$(made lapsed)" 20210101T000000 '*'
sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$(made revoked).rev" | $gpg --import
for name in good other rsa expired revoked subkey lapsed; do public $name; done

# Signed while the key was still valid; and with a digest that nobody should trust any more.
printf 'Origin: Debian\nCodename: old\n' > "$GNUPGHOME/text"
$gpg --faked-system-time 20200601T000000 --local-user "$(made expired)" --clear-sign \
    < "$GNUPGHOME/text" > "$here/signed-before-expiry.asc"
$gpg --digest-algo SHA1 --faked-system-time 20200601T000000 --allow-weak-digest-algos \
    --local-user "$(made good)" --clear-sign < "$GNUPGHOME/text" > "$here/signed-with-sha1.asc"
$gpg --faked-system-time 20200601T000000 --default-sig-expire 20200701T000000 \
    --local-user "$(made good)" --clear-sign < "$GNUPGHOME/text" > "$here/signature-expired.asc"
