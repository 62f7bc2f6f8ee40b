#![no_main]

outgate_fuzz::fuzz!(rule_file);
