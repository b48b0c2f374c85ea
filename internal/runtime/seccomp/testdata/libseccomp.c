/*
 * The other side of the differential test: makes a filter with libseccomp.
 *
 *   libseccomp names              prints "ARCH NAME NUMBER" for every name of stdin and each architecture
 *   libseccomp filter < PROFILE   writes the program as the kernel takes it to stdout
 *
 * PROFILE: lines "default ACTION", "arch NAME" (the first replaces the native one),
 * "rule NAME ACTION COUNT [INDEX OP A B]...", numbers in C's notation.
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; uint32_t token; } archs[] = {
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 }, { "SCMP_ARCH_X86", SCMP_ARCH_X86 }, { "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 }, { "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct { const char *name; enum scmp_compare op; } ops[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_LE", SCMP_CMP_LE }, { "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT }, { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static void die(const char *what, int rc)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-rc));
	exit(1);
}

static int names(void)
{
	char name[256];
	while (scanf("%255s", name) == 1)
		for (size_t i = 0; i < COUNT(archs); i++)
			printf("%s %s %d\n", archs[i].name, name, seccomp_syscall_resolve_name_arch(archs[i].token, name));
	return 0;
}

static void add_arch(scmp_filter_ctx ctx, const char *name, int first)
{
	for (size_t i = 0; i < COUNT(archs); i++) {
		if (strcmp(name, archs[i].name))
			continue;
		int rc = seccomp_arch_add(ctx, archs[i].token);
		if (rc && rc != -EEXIST)
			die(name, rc);
		if (first && archs[i].token != seccomp_arch_native()) {
			rc = seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE);
			if (rc)
				die("remove native", rc);
		}
		return;
	}
	die(name, -EINVAL);
}

static void add_rule(scmp_filter_ctx ctx)
{
	char name[256], op[32];
	uint32_t action;
	unsigned int count;
	struct scmp_arg_cmp args[6] = { 0 };
	if (scanf("%255s %" SCNi32 " %u", name, (int32_t *)&action, &count) != 3 || count > 6)
		die("rule", -EINVAL);
	for (unsigned int i = 0; i < count; i++) {
		if (scanf("%u %31s %" SCNu64 " %" SCNu64, &args[i].arg, op, &args[i].datum_a, &args[i].datum_b) != 4)
			die("condition", -EINVAL);
		for (size_t k = 0; k < COUNT(ops); k++)
			if (!strcmp(op, ops[k].name))
				args[i].op = ops[k].op;
	}
	int nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR)
		return;
	int rc = seccomp_rule_add_array(ctx, action, nr, count, args);
	if (rc)
		die(name, rc);
}

static int filter(void)
{
	char word[32], name[64];
	scmp_filter_ctx ctx = NULL;
	uint32_t action;
	int archs_seen = 0;
	while (scanf("%31s", word) == 1) {
		if (!strcmp(word, "default")) {
			if (scanf("%" SCNi32, (int32_t *)&action) != 1 || !(ctx = seccomp_init(action)))
				die("default", -EINVAL);
		} else if (!strcmp(word, "arch")) {
			if (scanf("%63s", name) != 1)
				die("arch", -EINVAL);
			add_arch(ctx, name, !archs_seen++);
		} else {
			add_rule(ctx);
		}
	}
	int rc = seccomp_export_bpf(ctx, 1);
	if (rc)
		die("export", rc);
	return 0;
}

int main(int argc, char **argv)
{
	return argc == 2 && !strcmp(argv[1], "names") ? names() : filter();
}
