"""The worst inputs that we could think of, for each command: one sentence, a documented code, nothing left.

Each row is what a person types and what must come of it. The project has a recipe that is built
already, the pairs of keys ``release`` and (OpenPGP) ``ada``, and these: ``empty``,
``noise`` (bytes that are not text), ``plain`` (a file), ``folder``, ``loop.yaml`` (a link to
itself), ``list.yaml``, ``deep.yaml``, ``huge.yaml`` and ``self.yaml`` (which extends itself).
"""

from __future__ import annotations

import json
import os
import random
import shlex
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.world import World

if TYPE_CHECKING:
    from pathlib import Path

FEW = {"schema": 3, "completion": 1}
"""Commands that take so little that there are not five ways to get it wrong: how many fewer."""
IMAGE = "example.com/hello:1.0"
NOWHERE = "sha256:" + "0" * 64
AWAY = "127.0.0.1:1/x"
"""A repository that nobody would get an answer from."""

TABLE = [
    # No command, or an unknown one
    ("nosuch", 2, "unknown command 'nosuch'"),
    ("buidl recipe.yaml", 2, "did you mean 'build'?"),
    ("--nosuch", 2, "unknown option '--nosuch'"),
    ("help nosuch", 2, "unknown command 'nosuch'"),
    ("--versoin", 2, "did you mean '--version'?"),
    ("versoin", 2, "did you mean 'version'?"),
    ("test", 2, "recipe.yaml has no tests"),
    ("test nothing.yaml", 3, "the recipe 'nothing.yaml' does not exist"),
    ("test list.yaml", 3, "a recipe must be a mapping of keys to values, not a list"),
    ("test recipe.yaml", 2, "recipe.yaml has no tests"),
    ("test noise", 3, "the text is not UTF-8"),
    # build: the recipe
    ("build elf.yaml", 3, "did you mean self.yaml?"),
    ("build nothing.yaml", 3, "the recipe 'nothing.yaml' does not exist"),
    ("build empty", 3, "empty:1:1: the recipe is empty"),
    ("build /dev/null", 3, "the recipe is empty"),
    ("build noise", 3, "the text is not UTF-8"),
    ("build folder", 2, "there is no pumice.yaml or recipe.yaml in 'folder'"),
    ("build list.yaml", 3, "a recipe must be a mapping of keys to values, not a list"),
    ("build loop.yaml", 3, "cannot read the recipe"),
    ("build deep.yaml", 3, "nested more than 32 deep"),
    ("build huge.yaml", 3, "larger than 1 MiB"),
    ("build self.yaml", 3, "'self.yaml' extends itself"),
    ("build recipe.yaml another.yaml -t name", 2, "--tag"),
    # build: where to
    ("build recipe.yaml -o image", 2, "'image'"),
    ("build recipe.yaml -o :", 2, "':'"),
    ("build recipe.yaml -o oci:", 2, "location 'oci:' has no directory"),
    ("build recipe.yaml -o tar:", 2, "location 'tar:' has no file"),
    ("build recipe.yaml -o oci:plain", 10, "a file exists where a directory is needed"),
    ("build recipe.yaml -o tar:folder", 10, "a directory exists where a file would be written"),
    ("build recipe.yaml -o dir:folder", 10, "the directory is not empty"),
    ("build recipe.yaml -o dir:/", 10, "the directory is not empty"),
    ("build recipe.yaml -o oci:plain/image", 10, "a file exists where a directory is needed"),
    ("build recipe.yaml -o tar:nowhere/root.tar", 10, "the parent directory does not exist"),
    ("build recipe.yaml -o tar:- -o oci-archive:-", 2, "only one destination can be standard output"),
    # build: everything else
    ("build recipe.yaml --arch vax", 2, "unknown architecture 'vax'"),
    ("build recipe.yaml --arch ''", 2, "'' is not a platform"),
    ("build recipe.yaml --platform windows/amd64", 2, "no architecture for the platform windows/amd64"),
    ("build recipe.yaml --platform linux/a/b/c", 2, "'linux/a/b/c' is not a platform"),
    ("build recipe.yaml --progress sometimes", 2, "--progress cannot be 'sometimes'"),
    ("build recipe.yaml --bundle nowhere", 2, "cannot read the bundle 'nowhere': not a directory"),
    ("build recipe.yaml --bundle plain", 2, "cannot read the bundle 'plain': not a directory"),
    ("build recipe.yaml --report -", 2, "--report needs a file"),
    ("build recipe.yaml --report folder", 10, "folder: a directory exists where a file would be written"),
    ("build recipe.yaml --report nowhere/report", 10, "nowhere/report: the parent directory does not exist"),
    (
        "build recipe.yaml --digest-file nowhere/digest",
        10,
        "the parent directory does not exist",
    ),
    # lock
    ("lock folder", 2, "there is no pumice.yaml or recipe.yaml in 'folder'"),
    ("lock --upgrade=", 2, "''"),
    ("lock recipe.yaml --upgrade nosuch", 2, "cannot upgrade 'nosuch': the lock has no such package"),
    ("lock 'nothing*.yaml' recipe.yaml", 2, "nothing"),
    ("lock recipe.yaml --bundle plain", 9, "not a directory"),
    ("lock recipe.yaml --arch vax", 2, "unknown architecture 'vax'"),
    # explain
    ("explain recipe.yaml", 2, "PACKAGE is missing"),
    ("explain nothing.yaml hello", 3, "the recipe 'nothing.yaml' does not exist"),
    ("explain recipe.yaml ''", 2, "'' is not a package name"),
    ("explain recipe.yaml hello=1.0-1", 2, "'hello=1.0-1' is not a package name"),
    ("explain recipe.yaml ../../etc/passwd", 2, "is not a package name"),
    # show
    ("show nothing.yaml", 3, "the recipe 'nothing.yaml' does not exist"),
    ("show folder", 2, "there is no pumice.yaml or recipe.yaml in 'folder'"),
    ("show noise", 3, "the text is not UTF-8"),
    ("show recipe.yaml --format xml", 2, "--format cannot be 'xml'"),
    ("show self.yaml", 3, "'self.yaml' extends itself"),
    # run
    ("run", 2, "REF is missing"),
    ("run nosuch:1", 10, "nosuch:1 is not in the local store"),
    ("run sha256:00", 2, "invalid digest 'sha256:00'"),
    ("run oci:folder", 10, "not an OCI layout"),
    ("run --stage1 nosuch " + IMAGE, 2, "--stage1 cannot be 'nosuch'"),
    ("run --volume x " + IMAGE, 2, "'x' is not a volume"),
    ("run " + IMAGE, 10, "the image has no entrypoint and no command"),
    # inspect
    ("inspect", 2, "REF is missing"),
    ("inspect " + NOWHERE, 10, "is not in the local store"),
    ("inspect sha256:zz", 2, "invalid digest 'sha256:zz'"),
    ("inspect oci:plain", 10, "not an OCI layout"),
    ("inspect ../../etc", 10, "../../etc is not in the local store"),
    # files
    ("files", 2, "REF is missing"),
    ("files oci:/dev/null", 10, "not an OCI layout"),
    ("files " + IMAGE + " --sort colour", 2, "--sort cannot be 'colour'"),
    ("files " + IMAGE + " more", 2, "'more' is an unexpected argument"),
    ("files oci-archive:noise", 8, "noise: a tar header is damaged"),
    # rm
    ("rm", 2, "REF is missing"),
    ("rm nosuch", 10, "nosuch is not in the local store"),
    ("rm " + NOWHERE, 10, "is not in the local store"),
    ("rm ../../etc", 10, "is not in the local store"),
    ("rm nosuch:1 " + IMAGE, 10, "nosuch:1 is not in the local store"),
    # gc
    ("gc more", 2, "'more' is an unexpected argument"),
    ("gc --keep-cache -1", 2, "--keep-cache needs a number"),
    ("gc --keep-cache nan", 2, "--keep-cache needs a number"),
    ("gc --keep-cache 99999999999999999999", 2, "--keep-cache needs a number"),
    ("gc --dry-urn", 2, "did you mean '--dry-run'?"),
    # images
    ("images nothing", 10, "there is no image 'nothing' in the store"),
    ("images nothing more", 2, "'more' is an unexpected argument"),
    ("images --format xml", 2, "--format cannot be 'xml'"),
    ("images --format", 2, "--format"),
    ("images --progres none", 2, "no option '--progres'"),
    ("images -x", 2, "'-x'"),
    # Pods
    ("ps more", 2, "'more' is an unexpected argument"),
    ("ps --filter nosuch", 2, "'nosuch' is not a filter"),
    ("ps --filter color=red", 2, "'color=red' is not a filter"),
    ("ps --format xml", 2, "--format cannot be 'xml'"),
    ("ps --lates", 2, "no option '--lates'"),
    ("status", 2, "POD is missing"),
    ("status nosuch", 10, "there is no pod 'nosuch'"),
    ("status ../../etc", 10, "there is no pod '../../etc'"),
    ("status nosuch --format xml", 2, "--format cannot be 'xml'"),
    ("status --wiat nosuch", 2, "did you mean '--wait'?"),
    ("play", 2, "FILE is missing"),
    ("play nosuch", 2, "cannot read the file of the pod: no such file"),
    ("play /", 2, "cannot read the file of the pod: is a directory"),
    ("play /dev/null", 2, "the file is empty"),
    ("play --name ../x /dev/null", 2, "the file is empty"),
    ("logs", 2, "POD is missing"),
    ("logs nosuch", 10, "there is no pod 'nosuch'"),
    ("logs nosuch --tail -1", 2, "--tail needs a number"),
    ("logs nosuch --since yesterday", 2, "'yesterday' is not a time"),
    ("logs nosuch --since 99999999999999h", 2, "'99999999999999h' is not a time"),
    ("exec", 2, "required: POD, PROGRAM"),
    ("exec nosuch", 2, "PROGRAM is missing"),
    ("exec nosuch true", 10, "there is no pod 'nosuch'"),
    ("exec --user", 2, "--user"),
    ("exec --privileged nosuch true", 2, "no option '--privileged'"),
    ("stop", 2, "POD is missing"),
    ("stop nosuch", 10, "there is no pod 'nosuch'"),
    ("stop nosuch --time -1", 2, "--time needs a number"),
    ("stop nosuch --time soon", 2, "--time needs a number"),
    ("stop nosuch --all", 2, "no option '--all'"),
    ("kill", 2, "POD is missing"),
    ("kill nosuch", 10, "there is no pod 'nosuch'"),
    ("kill nosuch --signal NOSUCH", 2, "unknown signal 'NOSUCH'"),
    ("kill nosuch --signal 0", 2, "unknown signal '0'"),
    ("kill nosuch --signal RTMIN+99", 2, "unknown signal 'RTMIN+99'"),
    ("pause", 2, "POD is missing"),
    ("pause nosuch", 10, "there is no pod 'nosuch'"),
    ("pause --all nosuch", 2, "--all excludes POD"),
    ("pause ''", 10, "there is no pod ''"),
    ("pause nosuch --time 1", 2, "no option '--time'"),
    ("unpause", 2, "POD is missing"),
    ("unpause nosuch", 10, "there is no pod 'nosuch'"),
    ("unpause --all nosuch", 2, "--all excludes POD"),
    ("unpause ../x", 10, "there is no pod '../x'"),
    ("unpause nosuch -x", 2, "'-x'"),
    ("wait", 2, "POD is missing"),
    ("wait nosuch", 10, "there is no pod 'nosuch'"),
    ("wait ''", 10, "there is no pod ''"),
    ("wait nosuch --time 1", 2, "no option '--time'"),
    ("wait nosuch -x", 2, "'-x'"),
    ("top", 2, "POD is missing"),
    ("top nosuch", 10, "there is no pod 'nosuch'"),
    ("top nosuch aux", 2, "'aux' is an unexpected argument"),
    ("top nosuch --format xml", 2, "--format cannot be 'xml'"),
    ("top nosuch -x", 2, "'-x'"),
    ("stats nosuch", 10, "there is no pod 'nosuch'"),
    ("stats --interval 0", 2, "--interval needs a number"),
    ("stats --interval soon", 2, "--interval needs a number"),
    ("stats --no-stream --format xml", 2, "--format cannot be 'xml'"),
    ("stats --no-stream --sort cpu", 2, "no option '--sort'"),
    ("port", 2, "POD is missing"),
    ("port nosuch", 10, "there is no pod 'nosuch'"),
    ("port nosuch 0", 2, "'0' is not a port"),
    ("port nosuch 80/icmp", 2, "'80/icmp' is not a port"),
    ("port nosuch 80 81", 2, "'81' is an unexpected argument"),
    ("events --since yesterday", 2, "'yesterday' is not a time"),
    ("events --filter nosuch", 2, "'nosuch' is not a filter"),
    ("events --filter colour=red", 2, "'colour=red' is not a filter"),
    ("events --stream=maybe", 2, "--stream"),
    ("events web", 2, "'web' is an unexpected argument"),
    ("cp", 2, "required: SRC, DST"),
    ("cp nosuch:/etc .", 10, "there is no pod 'nosuch'"),
    ("cp plain folder", 2, "neither SRC nor DST is in a pod"),
    ("cp - -", 2, "neither SRC nor DST is in a pod"),
    ("cp nosuch: .", 2, "'nosuch:' has no path"),
    ("commit", 2, "required: POD, NAME[:VERSION]"),
    ("commit nosuch name", 10, "there is no pod 'nosuch'"),
    ("commit nosuch NAME", 2, "invalid image name 'NAME'"),
    ("commit nosuch name -c 'RUN true'", 2, "'RUN true' is not a change of the config"),
    ("commit nosuch name -c 'CMD [1]'", 2, "'[1]' is not a list"),
    ("volume", 2, "ACTION is missing"),
    ("volume create ../x", 2, "'../x' is not a name for a volume"),
    ("volume inspect nosuch", 10, "there is no volume 'nosuch'"),
    ("volume rm nosuch", 10, "there is no volume 'nosuch'"),
    ("volume ls --filter size=1", 2, "'size=1' is not a filter"),
    ("run -v nosuch/dir:/x " + IMAGE, 2, "cannot mount 'nosuch/dir'"),
    ("run -v name:/x:often " + IMAGE, 2, "unknown option 'often'"),
    ("run --mount type=volume,source=a/b,target=/x " + IMAGE, 2, "'a/b' is not a name for a volume"),
    ("run --mount type=image,target=/x " + IMAGE, 2, "type=image has no source"),
    ("run --mount type=tmpfs,source=x,target=/x " + IMAGE, 2, "unknown option source of type=tmpfs"),
    ("prepare", 2, "REF is missing"),
    ("prepare nothing:1", 10, "nothing:1 is not in the local store"),
    (f"prepare --detach {IMAGE}", 2, "--detach belongs to another command"),
    (f"prepare --name . {IMAGE}", 2, "'.' is not a name for a pod"),
    (f"prepare --memory lots {IMAGE}", 2, "--memory: 'lots' is not a size"),
    ("run-prepared", 2, "POD is missing"),
    ("run-prepared nosuch", 10, "there is no pod 'nosuch'"),
    ("run-prepared ''", 10, "there is no pod ''"),
    ("run-prepared nosuch -e A=b", 2, "no option '-e'"),
    ("run-prepared nosuch more", 2, "'more' is an unexpected argument"),
    ("generate", 2, "ACTION is missing"),
    ("generate kube web", 10, "there is no pod 'web'"),
    ("generate quadlet web", 2, "unknown action 'quadlet'"),
    ("generate systemd", 2, "POD is missing"),
    ("generate systemd nosuch", 10, "there is no pod 'nosuch'"),
    ("generate systemd nosuch --restart-policy often", 2, "--restart-policy cannot be 'often'"),
    ("run --detach --name . " + IMAGE, 2, "'.' is not a name for a pod"),
    # store
    ("store", 2, "ACTION is missing"),
    ("store eat", 2, "unknown action 'eat'"),
    ("store verify more", 2, "'more' is an unexpected argument"),
    ("store path --repair", 2, "'pumice store path' has no option '--repair'"),
    ("store --repair", 2, "ACTION is missing"),
    # init
    ("init recipe.yaml", 2, "the file exists already"),
    ("init plain", 2, "not a directory"),
    ("init loop.yaml", 2, "loop.yaml"),
    ("init plain/recipe.yaml", 2, "not a directory"),
    ("init one two", 2, "'two' is an unexpected argument"),
    # schema
    ("schema more", 2, "'more' is not a command with --json"),
    ("schema imges", 2, "did you mean 'images'?"),
    ("schema --format yaml", 2, "no option '--format'"),
    # completion
    ("completion", 2, "SHELL is missing"),
    ("completion csh", 2, "did you mean 'zsh'?"),
    ("completion ''", 2, "use one of bash, zsh, fish"),
    ("completion bash zsh", 2, "'zsh' is an unexpected argument"),
    # tag, untag, load, save, export
    ("tag", 2, "required: REF, NAME"),
    (f"tag {IMAGE}", 2, "NAME is missing"),
    ("tag nothing:1 a:1", 10, "nothing:1 is not in the local store"),
    (f"tag {IMAGE} X:1", 2, "invalid image name 'X:1'"),
    (f"tag {IMAGE} ''", 2, "invalid image name ''"),
    (f"tag {IMAGE} oci:folder", 2, "cannot name an image in the store 'oci:folder'"),
    ("untag", 2, "required: REF, NAME"),
    ("untag nothing:1", 10, "nothing:1 is not in the local store"),
    ("untag ''", 10, "'' is not in the local store"),
    ("untag ../../etc", 10, "../../etc is not in the local store"),
    ("untag sha256:00", 2, "invalid digest 'sha256:00'"),
    ("load", 10, "standard input: not an archive of images"),
    ("load -i noise", 8, "noise: a tar header is damaged"),
    ("load -i nowhere.tar", 10, "nowhere.tar: the file does not exist"),
    ("load -i folder", 10, "folder: not a regular file"),
    ("load -i empty", 10, "empty: not an archive of images"),
    ("save", 2, "REF is missing"),
    ("save nothing:1 -o x.tar", 10, "nothing:1 is not in the local store"),
    (f"save {IMAGE} -o folder", 10, "a directory exists where a file would be written"),
    (f"save {IMAGE} -o nowhere/x.tar", 10, "the parent directory does not exist"),
    (f"save {IMAGE} -o x.tar --format nosuch", 2, "--format cannot be 'nosuch'"),
    ("export", 2, "REF is missing"),
    ("export sha256:00", 2, "invalid digest 'sha256:00'"),
    ("export oci:plain", 10, "not an OCI layout"),
    (f"export {IMAGE} -o folder", 10, "a directory exists where a file would be written"),
    (f"export {IMAGE} -o nowhere/x.tar", 10, "the parent directory does not exist"),
    # aci, convert
    ("aci", 2, "ACTION is missing"),
    ("aci nosuch", 2, "unknown action 'nosuch'"),
    ("aci validate", 2, "FILE is missing"),
    ("aci validate noise", 8, "not an App Container image"),
    ("aci validate nowhere", 10, "nowhere: the file does not exist"),
    ("aci validate folder", 10, "folder: the directory has no manifest"),
    ("aci validate /dev/zero", 10, "not a regular file"),
    ("aci cat-manifest empty", 8, "not an App Container image"),
    ("aci patch-manifest plain", 2, "pass either NEW or --replace"),
    ("aci build folder x.aci", 10, "the directory has no manifest"),
    ("aci extract noise out", 8, "not an App Container image"),
    ("aci render noise dir:out", 8, "not an App Container image"),
    ("aci render noise out", 2, "destination 'out' has no transport"),
    ("aci render layout/index.json dir:out", 8, "not an App Container image"),
    ("aci render oci:layout dir:out", 10, "oci:layout: the file does not exist"),
    ("aci encrypt noise out --passphrase-file plain", 8, "noise: the file is not an App Container image"),
    ("aci encrypt noise plain --passphrase-file plain", 10, "plain: the file exists"),
    ("aci encrypt noise out --recipient ada.pub", 2, "--non-standard"),
    ("aci decrypt noise out --passphrase-file plain", 8, "noise: the file is not an OpenPGP message"),
    ("aci decrypt nowhere out --passphrase-file plain", 10, "nowhere: the file does not exist"),
    ("aci decrypt folder out --passphrase-file plain", 10, "folder: not a regular file"),
    ("aci decrypt noise out --passphrase-file plain --max-size x", 2, "--max-size"),
    ("aci decrypt noise out --decryption-key noise", 8, "noise"),
    ("run aci:noise", 8, "noise: the file is not an App Container image"),
    ("run aci:nowhere", 10, "nowhere: the file does not exist"),
    ("run aci:", 2, "location 'aci:' has no file"),
    ("run aci:folder", 10, "folder: not a regular file"),
    ("run aci:/dev/zero", 10, "/dev/zero: not a regular file"),
    ("prepare aci:noise", 8, "noise: the file is not an App Container image"),
    ("prepare aci:nowhere", 10, "nowhere: the file does not exist"),
    ("play --aci noise pod.json", 8, "noise: the file is not an App Container image"),
    ("play --aci nowhere pod.json", 10, "nowhere: the file does not exist"),
    ("play --aci folder pod.json", 10, "folder: not a regular file"),
    ("play --aci '' pod.json", 2, "--aci needs a path, not ''"),
    (
        "play pod.json",
        10,
        "cannot find the image sha512-0000000000000000… of the app 'a': it is not in the store",
    ),
    ("convert", 2, "required: SRC, DST"),
    ("convert nothing:1 aci:x.aci", 10, "nothing:1 is not in the local store"),
    (f"convert {IMAGE} oci:out", 2, "neither image is an App Container image"),
    (f"convert {IMAGE} aci:folder", 10, "a directory exists where a file would be written"),
    (f"convert {IMAGE} aci:nowhere/x.aci", 10, "the parent directory does not exist"),
    (f"convert {IMAGE} aci:x.aci --name A", 2, "'A' is not a name of App Container"),
    (f"convert {IMAGE} aci:x.aci --compression zstd", 2, "App Container does not have zstd"),
    ("convert aci:noise oci:out", 8, "not an App Container image"),
    # history, manifest, config, check, blob, catalog, version
    *(
        row
        for verb in ("history", "manifest", "config", "check")
        for row in (
            (verb, 2, "REF is missing"),
            (f"{verb} nothing:1", 10, "nothing:1 is not in the local store"),
            (f"{verb} oci:plain", 10, "not an OCI layout"),
            (f"{verb} sha256:00", 2, "invalid digest 'sha256:00'"),
            (f"{verb} {IMAGE} more", 2, "'more' is an unexpected argument"),
        )
    ),
    ("blob", 2, "[LOCATION@]DIGEST is missing"),
    (f"blob {IMAGE}", 2, f"'{IMAGE}' has no digest"),
    (f"blob {IMAGE}@sha256:00", 2, "is not a whole digest"),
    (f"blob docker://{AWAY}", 2, "has no digest"),
    (f"blob {IMAGE} more", 2, "'more' is an unexpected argument"),
    ("catalog", 2, "HOST is missing"),
    ("catalog ''", 2, "is not a registry"),
    ("catalog 127.0.0.1:99999", 2, "is not a registry"),
    ("catalog 127.0.0.1:1 more", 2, "an unexpected argument"),
    ("catalog 127.0.0.1:1 --ca nowhere", 2, "nowhere: cannot load the TLS file: no such file"),
    ("version more", 2, "'more' is an unexpected argument"),
    ("version --format xml", 2, "--format cannot be 'xml'"),
    ("version --jsno", 2, "did you mean '--json'?"),
    ("version --nosuch", 2, "no option '--nosuch'"),
    ("version -x", 2, "'-x'"),
    # Evidence: tree, diff, sbom, licenses, reproduce
    ("tree", 2, "REF is missing"),
    ("tree nothing:1", 10, "nothing:1 is not in the local store"),
    ("tree oci:plain", 10, "not an OCI layout"),
    ("tree sha256:00", 2, "invalid digest 'sha256:00'"),
    (f"tree {IMAGE} more", 2, "an unexpected argument"),
    ("diff", 2, "required: A, B"),
    (f"diff {IMAGE}", 2, "B is missing"),
    (f"diff {IMAGE} nothing:1", 10, "nothing:1 is not in the local store"),
    (f"diff {IMAGE} oci:folder", 10, "not an OCI layout"),
    (f"diff {IMAGE} {IMAGE} --format nosuch", 2, "--format cannot be 'nosuch'"),
    ("sbom", 2, "REF is missing"),
    ("sbom nothing:1", 10, "nothing:1 is not in the local store"),
    (f"sbom {IMAGE} --format nosuch", 2, "--format cannot be 'nosuch'"),
    (f"sbom {IMAGE} --layer 99", 2, "the image has no layer 99"),
    (f"sbom {IMAGE} --layer x", 2, "--layer needs a number"),
    ("licenses", 2, "REF is missing"),
    ("licenses nothing:1", 10, "nothing:1 is not in the local store"),
    (f"licenses {IMAGE} --policy nowhere", 2, "cannot read the policy"),
    (f"licenses {IMAGE} --policy noise", 3, "the text is not UTF-8"),
    (f"licenses {IMAGE} --policy folder", 10, "not a regular file"),
    ("reproduce", 2, "REF is missing"),
    ("reproduce nothing:1", 10, "nothing:1 is not in the local store"),
    (f"reproduce {IMAGE} --provenance noise", 8, "the document is not an in-toto statement"),
    (f"reproduce {IMAGE} more", 2, "an unexpected argument"),
    (f"reproduce {IMAGE} --bundle nowhere", 2, "cannot read the bundle 'nowhere': not a directory"),
    ("reproduce oci:folder", 10, "not an OCI layout"),
    # Trust: key, sign, attest, verify, trust
    ("key", 2, "ACTION is missing"),
    ("key nosuch", 2, "unknown action 'nosuch'"),
    ("key generate --output nowhere/key", 2, "cannot ask for the key's passphrase"),
    ("key import empty", 8, "the file has no PEM or OpenPGP key"),
    ("key export nosuch", 7, "no such key 'nosuch'"),
    ("sign", 2, "REF is missing"),
    (f"sign {IMAGE}", 2, "--key is missing"),
    (f"sign {IMAGE} --key folder", 7, "cannot read the key: is a directory"),
    (f"sign {IMAGE} --key noise", 8, "the file is not a private key"),
    ("sign oci:plain --key empty", 8, "the file is not a private key"),
    ("attest", 2, "required: REF, --type, --predicate"),
    (f"attest {IMAGE}", 2, "required: --type, --predicate"),
    (f"attest {IMAGE} --key empty --type x --predicate noise", 8, "the predicate is not valid strict JSON"),
    (
        f"attest {IMAGE} --key empty --type spdxjson --predicate plain",
        8,
        "the predicate is not valid strict JSON",
    ),
    (
        "attest nothing:1 --key empty --type spdxjson --predicate plain",
        8,
        "the predicate is not valid strict JSON",
    ),
    ("verify", 2, "REF is missing"),
    ("verify nothing:1", 10, "nothing:1 is not in the local store"),
    (f"verify {IMAGE} --key noise", 8, "expected one public key in PEM"),
    (f"verify {IMAGE} --key folder", 7, "cannot read the key: is a directory"),
    (f"verify {IMAGE} --policy nowhere", 2, "--policy needs --attestation TYPE"),
    ("cut", 2, "--root"),
    ("cut --root out", 2, "SLICE is missing"),
    ("cut --root out openssl", 2, "the slice 'openssl' does not exist"),
    ("cut --root out openssl_bins --mirror ftp://mirror.invalid", 2, "is not a mirror"),
    ("cut --root out openssl_bins --release ./folder", 8, "there is no chisel.yaml"),
    ("cut --root out openssl_bins --ignore all", 2, "all"),
    ("cut --root out openssl_bins --offline", 6, "offline"),
    ("slice", 2, "ACTION is missing"),
    ("slice nosuch", 2, "unknown action 'nosuch'"),
    ("slice list nosuch", 2, "the release has no slices of 'nosuch'"),
    ("slice info openssl_nosuch", 2, "the release has no 'openssl_nosuch'"),
    ("slice check --release noise", 2, "there is no release 'noise'"),
    ("slice check --release ./noise", 8, "noise: a tar header is damaged"),
    ("slice check --release ./folder", 8, "there is no chisel.yaml"),
    ("slice check --release ./nothing", 9, "the release does not exist"),
    ("slice check --overlay plain", 9, "the overlay is not a directory"),
    ("slice check openssl_binz", 2, "did you mean openssl_bins?"),
    ("slice check bins", 2, "the slice 'bins' does not exist"),
    ("cut --root '' openssl_bins", 2, "--root needs a path, not ''"),
    ("slice check --suite ../../x openssl_bins", 2, "'../../x' is not a suite"),
    ("slice check --suite '' openssl_bins", 2, "'' is not a suite"),
    ("slice draft hello --update", 2, "--update needs --output"),
    ("trust", 2, "ACTION is missing"),
    ("trust nosuch", 2, "unknown action 'nosuch'"),
    ("trust add", 2, "KEY is missing"),
    ("trust add noise --root", 8, "expected one public key in PEM"),
    ("trust why nothing:1", 10, "nothing:1 is not in the local store"),
    # Registries: push, pull, copy, tags, resolve, delete, login, logout
    ("publish", 2, "there is no place to publish to"),
    ("publish --oci new", 2, "there is nothing to publish"),
    (f"publish --oci plain {IMAGE}", 10, "a file exists where a directory"),
    (f"publish --oci no/such/place {IMAGE}", 10, "the parent directory does not exist"),
    (f"publish --oci new {IMAGE} --name tags/list:1", 2, "cannot have the component 'tags'"),
    (f"publish --oci new {IMAGE} --url https://a.example/b", 2, "has a path"),
    (f"publish --oci s3:// {IMAGE}", 2, "'s3://' is not the URL of a bucket"),
    (f"publish --oci new {IMAGE} --torrent", 2, "torrents need the URL"),
    (f"publish --oci new {IMAGE} --tracker http://a.example/", 2, "--tracker is for torrents"),
    (f"publish --oci new {IMAGE} --torrent --url https://a.example --tracker x", 2, "'x' is not a tracker"),
    ("attach", 2, "POD is missing"),
    ("attach nosuch", 10, "there is no pod 'nosuch'"),
    ("attach nosuch --detach-keys ctrl-", 2, "'ctrl-' is not a key"),
    ("attach nosuch --sig-proxy=maybe", 2, "--sig-proxy cannot be 'maybe'"),
    ("attach a b", 2, "an unexpected argument"),
    ("rename", 2, "required: POD, NAME"),
    ("rename nosuch", 2, "NAME is missing"),
    ("rename nosuch other", 10, "there is no pod 'nosuch'"),
    ("rename ../x other", 10, "there is no pod '../x'"),
    ("rename a b c", 2, "an unexpected argument"),
    ("discover", 2, "NAME is missing"),
    ("discover http://example.com/a", 2, "'http' does not begin with a host"),
    ("discover example.com/a:1,=b", 2, "'' is not an AC identifier"),
    ("discover example.com/a --port 99999999", 2, "'99999999' is not a port"),
    ("discover 127.0.0.1/a --port 1", 6, "cannot connect"),
    ("fetch", 2, "NAME is missing"),
    ("fetch example.com//a", 2, "several separators in a row"),
    ("fetch nothing.aci", 2, "'nothing.aci' is not a name"),
    ("fetch oci:plain", 10, "not an OCI layout"),
    ("fetch 127.0.0.1/a:1 --port 1", 6, "cannot connect"),
    ("slim plain", 3, "a recipe must be a mapping"),
    ("slim nowhere.yaml", 3, "the recipe 'nowhere.yaml' does not exist"),
    ("slim oci:plain", 10, "not an OCI layout"),
    ("slim nothing:1", 10, "nothing:1 is not in the local store"),
    ("slim recipe.yaml --verify", 2, "--verify needs a value"),
    ("seed", 2, "DIR is missing"),
    ("seed nowhere", 10, "there is no such directory"),
    ("seed plain --only-tracker", 10, "there is no such directory"),
    ("seed folder --tracker 99999999", 2, "is not HOST:PORT"),
    ("seed folder --announce-ip example.com", 2, "'example.com' is not an IP address"),
    ("seed folder --no-tracker --only-tracker", 2, "exclude each other"),
    ("seed folder --only-tracker --tracker 203.0.113.1:1", 2, "203.0.113.1:1"),
    ("push", 2, "REF is missing"),
    (f"push nothing:1 {AWAY}", 10, "nothing:1 is not in the local store"),
    (f"push {IMAGE} 127.0.0.1:1/X", 2, "invalid repository name"),
    (f"push oci:plain {AWAY}", 10, "not an OCI layout"),
    (f"push {IMAGE} {AWAY} --ca noise", 2, "noise: cannot load the TLS file"),
    (f"push {IMAGE} {AWAY} more", 2, "an unexpected argument"),
    ("push hello", 2, "'hello' does not name a registry"),
    ("pull", 2, "REF is missing"),
    ("pull docker://", 2, "invalid repository name ''"),
    ("pull 127.0.0.1:1/../x", 2, "invalid repository name"),
    ("pull 127.0.0.1:99999/x", 2, "invalid registry host"),
    (f"pull {AWAY}@sha256:00", 2, "invalid digest 'sha256:00'"),
    (f"pull {AWAY}:{'t' * 200}", 2, "invalid tag"),
    (f"pull {AWAY} --cert folder", 2, "folder: cannot load the TLS file: is a directory"),
    ("copy", 2, "required: SRC, DST"),
    (f"copy {IMAGE}", 2, "DST is missing"),
    ("copy nothing:1 store:x:1", 10, "nothing:1 is not in the local store"),
    (f"copy {IMAGE} nosuch:place", 2, "destination 'nosuch:place' has no transport"),
    ("copy oci:folder store:a.example/x:1", 10, "not an OCI layout"),
    (f"copy {IMAGE} docker://{AWAY}:..", 2, "invalid tag '..'"),
    (f"copy {IMAGE} oci:plain", 10, "a file exists where a directory is needed"),
    (f"copy {IMAGE} tar:folder --only-image", 10, "a directory exists where a file would be written"),
    ("tags", 2, "REPOSITORY is missing"),
    (f"tags {AWAY}:tag", 2, "invalid repository name"),
    ("tags docker://", 2, "invalid repository name ''"),
    (f"tags {AWAY} more", 2, "an unexpected argument"),
    ("tags user:pass@host/x", 2, "invalid registry host"),
    ("resolve", 2, "REF is missing"),
    ("resolve oci:plain", 10, "not an OCI layout"),
    (f"resolve docker://{AWAY}@sha512:00", 2, "invalid digest 'sha512:00'"),
    (f"resolve docker://{AWAY} --ca nowhere", 2, "nowhere: cannot load the TLS file: no such file"),
    ("resolve 'a b/c'", 2, "invalid repository name"),
    ("delete", 2, "REF is missing"),
    (f"delete {AWAY}", 2, "has neither a tag nor a digest"),
    (f"delete {AWAY}:..", 2, "invalid tag '..'"),
    ("delete ''", 2, "invalid repository name"),
    (f"delete {AWAY}@sha256:zz", 2, "invalid digest 'sha256:zz'"),
    (f"delete {AWAY}:1 --cert noise", 2, "noise: cannot load the TLS file"),
    ("login", 2, "HOST[/PATH] is missing"),
    ("login ''", 2, "invalid registry host ''"),
    ("login a b", 2, "an unexpected argument"),
    ("login 127.0.0.1:1", 2, "cannot prompt for the password: not a terminal"),
    ("login 127.0.0.1:1 --password-stdin", 2, "--password-stdin needs --username"),
    ("login 127.0.0.1:1 -u a --password-stdin", 2, "the password is empty"),
    ("logout", 2, "HOST[/PATH] is missing"),
    ("logout ''", 2, "invalid registry host ''"),
    ("logout 'ho st'", 2, "invalid registry host"),
    ("logout 127.0.0.1:99999", 2, "invalid registry host"),
    ("logout nobody.example", 1, "not logged in to nobody.example"),
    # serve
    ("serve more", 2, "an unexpected argument"),
    ("serve --listen nonsense", 2, "'nonsense' is not HOST:PORT"),
    ("serve --listen 127.0.0.1:0 --root plain", 9, "cannot access the storage of the registry: file exists"),
    ("serve --listen 127.0.0.1:0 --root folder", 9, "the directory is not empty and not a registry"),
    ("serve --tls-cert noise", 2, "--tls-cert and --tls-key must be given together"),
    ("serve --gc nan", 2, "'nan' is not a number of hours"),
    ("serve --anonymous all", 2, "--anonymous cannot be 'all'"),
    # build --sign and --no-sign
    ("build recipe.yaml --sign", 2, "--sign"),
    ("build recipe.yaml --sign noise", 8, "noise: the file is not a private key"),
    ("build recipe.yaml --sign nowhere.key", 7, "no such key 'nowhere.key'"),
    ("build recipe.yaml --sign empty --no-sign", 2, "cannot use --no-sign with --sign"),
    ("build recipe.yaml --no-sign=yes", 2, "--no-sign"),
    ("build recipe.yaml --no-sign --no-sing", 2, "did you mean '--no-sign'?"),
    ("build nothing.yaml --no-sign", 3, "the recipe 'nothing.yaml' does not exist"),
    ("build recipe.yaml --no-sign --passphrase-file", 2, "--passphrase-file"),
    # --no-evidence, --docker-reference
    (f"sign {IMAGE} --no-evidence", 2, "--key is missing"),
    (f"sign {IMAGE} --key empty --no-evidence=1", 2, "--no-evidence"),
    ("sign nothing:1 --key empty --no-evidence", 8, "the file is not a private key"),
    ("sign oci:folder --key noise --no-evidence", 8, "the file is not a private key"),
    (f"sign {IMAGE} --no-evidense --key empty", 2, "did you mean '--no-evidence'?"),
    (f"sign {IMAGE} --key nowhere --docker-reference x", 7, "no such key 'nowhere'"),
    (f"sign {IMAGE} --key release.key --docker-reference x", 2, "'x'"),
    (f"sign {IMAGE} --key release.key --docker-reference ''", 2, "''"),
    (f"sign {IMAGE} --key release.key --docker-reference 'a b/c:1'", 2, "'a b/c:1'"),
    (f"sign {IMAGE} --key release.key --docker-reference example.com/../x:1", 2, "example.com/../x:1"),
    (f"sign {IMAGE} --key release.key --docker-reference", 2, "--docker-reference needs a value"),
    # verify --signature, and OpenPGP archives
    ("verify oci:layout --signature noise", 2, "--signature is for archives only"),
    (f"verify {IMAGE} --signature noise", 2, "--signature is for archives only"),
    ("verify oci-archive:noise --signature noise", 8, "a tar header is damaged"),
    (
        "verify oci-archive:archive.tar --signature nowhere --key ada.pub",
        7,
        "no such signature file",
    ),
    ("verify oci-archive:archive.tar --signature folder --key ada.pub", 10, "not a regular file"),
    ("verify oci-archive:archive.tar --signature noise --key ada.pub", 7, "the image has no valid signature"),
    ("verify oci-archive:archive.tar --signature empty --key ada.pub", 7, "not a valid OpenPGP signature"),
    ("verify oci-archive:archive.tar --key ada.key", 8, "the file is a private key"),
    ("sign oci-archive:noise --key ada.key", 8, "a tar header is damaged"),
    ("sign oci-archive:nowhere.tar --key ada.key", 10, "nowhere.tar"),
    ("sign oci-archive:archive.tar --key ada.pub", 8, "the file is a public key"),
    ("sign oci-archive:archive.tar --key gpg:nobody@example.com", 7, "nobody@example.com"),
    (f"sign {IMAGE} --key ada.key", 2, "an OpenPGP key can only sign archives"),
    # trust add: from a URL, thresholds, identities
    ("trust add https:// --root", 2, "not https"),
    ("trust add ftp://keys.invalid/a.pub --root", 2, "not https"),
    ("trust add http://keys.invalid/a.pub --root", 2, "the connection is not protected"),
    ("trust add https://keys.invalid/a.pub --root", 7, "cannot ask you to confirm the fingerprint"),
    ("trust add https://keys.invalid:99999/a.pub --root", 2, "keys.invalid:99999"),
    ("trust add release.pub --root --threshold 0", 2, "invalid threshold 0"),
    ("trust add release.pub --root --threshold -1", 2, "invalid threshold -1"),
    ("trust add release.pub --root --threshold 101", 2, "invalid threshold 101"),
    ("trust add release.pub --root --threshold two", 2, "--threshold needs a number"),
    ("trust add release.pub --root --threshold 99999999999999999999", 2, "invalid threshold"),
    ("trust add --root --identity ada@example.com", 2, "--identity needs --issuer"),
    ("trust add --root --issuer https://accounts.example.com", 2, "KEY is missing"),
    ("trust add --root --identity ada --issuer https://accounts.example.com", 2, "invalid identity 'ada'"),
    ("trust add --root --identity a@b --issuer accounts", 2, "invalid issuer 'accounts'"),
    (
        "trust add --root --identity a@b --issuer https://c --trusted-root noise",
        8,
        "is not valid strict JSON",
    ),
    (
        "trust add --root --identity a@b --issuer https://c --trusted-root folder",
        7,
        "cannot read the trusted root: is a directory",
    ),
    (f"verify {IMAGE} --identity a@b", 2, "--identity needs --issuer"),
    (f"verify {IMAGE} --trusted-root noise", 2, "need --identity"),
    (f"verify {IMAGE} --identity a@b --issuer https://c --trusted-root plain", 8, "is not valid strict JSON"),
    # identity and metadata-service
    ("identity", 2, "ACTION is missing"),
    ("identity token nothing", 2, "--audience is missing"),
    ("identity token nothing --audience a", 10, "there is no pod 'nothing'"),
    ("identity issuer ''", 2, "'' is not an issuer"),
    ("identity issuer https://example.com/?x", 2, "is not an issuer"),
    ("identity verify --audience a --issuer noise", 8, "is not valid strict JSON"),
    ("identity verify --audience a --issuer folder", 9, "is a directory"),
    ("identity verify --audience a --issuer nowhere", 9, "no such file"),
    ("identity verify --audience a --issuer http://keys.invalid", 2, "is not the URL of an issuer"),
    ("identity verify --audience a --require =x", 2, "'=x' is not CLAIM=PATTERN"),
    ("identity verify --audience a --listen 127.0.0.1:99999", 2, "is not HOST:PORT"),
    ("metadata-service --listen ''", 2, "'' is not HOST:PORT"),
    ("metadata-service --listen ::1:80", 2, "'::1:80' is not HOST:PORT"),
    ("metadata-service --listen 127.0.0.1:99999", 2, "is not HOST:PORT"),
    ("metadata-service --idle-exit -1", 2, "'-1' is not a number of seconds"),
    ("metadata-service --idle-exit 1e3", 2, "'1e3' is not a number of seconds"),
    ("metadata-service more", 2, "'more' is an unexpected argument"),
    ("serve --identity-issuer noise", 2, "must be given together"),
    ("serve --identity-issuer noise --identity-audience a --identities folder", 2, "is a directory"),
    ("serve --identity-issuer plain --identity-audience a --identities plain", 2, "must be a mapping"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    new_world = World(tmp_path_factory.mktemp("worst"))
    new_world.build()
    project = new_world.project
    (project / "empty").touch()
    (project / "noise").write_bytes(b"\xff" + random.Random(0).randbytes(2000))
    (project / "plain").write_text("x")
    (project / "folder").mkdir()
    (project / "folder" / "file").write_text("x")
    (project / "loop.yaml").symlink_to("loop.yaml")
    (project / "list.yaml").write_text("- a\n")
    (project / "deep.yaml").write_text("name: " + "[" * 5000)
    (project / "huge.yaml").write_text("name: " + "a" * 2_000_000)
    (project / "self.yaml").write_text("extend: self.yaml\n")
    app = {"name": "a", "image": {"id": "sha512-" + "0" * 128}}
    pod = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [app]}
    (project / "pod.json").write_text(json.dumps(pod))
    secret = {"PUMICE_KEY_PASSPHRASE": "x"}
    for command in (
        "key generate --output release",
        "key generate --openpgp ada@example.com --output ada",
        f"copy {IMAGE} oci:layout",
        f"copy {IMAGE} oci-archive:archive.tar",
    ):
        pumice_run = new_world.run(*shlex.split(command), environment=secret)
        assert pumice_run.code == 0, pumice_run.stderr
    return new_world


def contents(folder: Path) -> dict[str, int]:
    """Return every path in a directory with its time of change."""
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(("command", "code", "sentence"), TABLE, ids=[row[0] for row in TABLE])
def test_invalid_input_is_reported_in_one_sentence_and_leaves_no_files(
    command: str, code: int, sentence: str, world: World
) -> None:
    before = contents(world.project)
    pumice_run = world.run(*shlex.split(command))
    assert (pumice_run.code, pumice_run.stdout) == (code, ""), pumice_run.stderr
    errors = [line for line in pumice_run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, pumice_run.stderr
    assert sentence in pumice_run.stderr
    assert all(word not in pumice_run.stderr for word in ("Traceback", "PUMICE_DEBUG", "Errno"))
    assert contents(world.project) == before


def test_the_table_covers_every_command() -> None:
    from pumice.cli.commands import COMMANDS

    rows = [row[0].split()[0] for row in TABLE]
    assert {verb: rows.count(verb) for verb in COMMANDS if rows.count(verb) < 5 - FEW.get(verb, 0)} == {}


def test_an_output_is_written_into_a_named_pipe(world: World) -> None:
    """A command that writes a file to a device or named pipe writes into it, and does not replace it."""
    fifo = world.project / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        digest = world.build("--digest-file", "fifo")
        assert os.read(reader, 1000).decode().strip() == digest
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    fifo.unlink()


def test_the_digest_is_not_printed_when_it_could_not_be_written(world: World) -> None:
    pumice_run = world.run("build", "recipe.yaml", "--digest-file", "nowhere/digest")
    assert (pumice_run.code, pumice_run.stdout) == (10, "")
