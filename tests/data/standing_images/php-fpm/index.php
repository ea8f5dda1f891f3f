<?php echo PHP_SAPI, " ", posix_getpwuid(posix_geteuid())["name"], " ", implode(",", get_loaded_extensions());
