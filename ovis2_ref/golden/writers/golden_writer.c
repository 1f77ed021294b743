/* Write a golden file (ovis2_ref/golden/README.md) from C99, without dependencies.

   static const int64_t shape[] = {1, 5, 128};
   golden_file *file = golden_open("candidate.safetensors", "float32");
   golden_add(file, "model.language_model.norm.output", "F32", 3, shape, data);
   if (golden_close(file) != 0) { perror("candidate.safetensors"); }

   The numbers are copied when they are added, in little-endian order as they lie in memory on x86 and ARM.
   Number types: "F64", "F32", "F16", "BF16", "I64", "I32", "U8". Names must not contain quotes or backslashes. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char name[256], kind[8];
    int axes;
    int64_t shape[8];
    uint64_t bytes;
    void *data;
} golden_array;

typedef struct {
    char path[4096], dtype[16];
    golden_array *arrays;
    size_t count;
    int failed; /* set once something went wrong: golden_close says so */
} golden_file;

golden_file *golden_open(const char *path, const char *dtype) {
    golden_file *file = calloc(1, sizeof *file);
    if (file != NULL) {
        snprintf(file->path, sizeof file->path, "%s", path);
        snprintf(file->dtype, sizeof file->dtype, "%s", dtype);
    }
    return file;
}

static int golden_size(const char *kind) {
    if (strcmp(kind, "F64") == 0 || strcmp(kind, "I64") == 0) return 8;
    if (strcmp(kind, "F32") == 0 || strcmp(kind, "I32") == 0) return 4;
    if (strcmp(kind, "F16") == 0 || strcmp(kind, "BF16") == 0) return 2;
    return strcmp(kind, "U8") == 0 ? 1 : 0;
}

void golden_add(golden_file *file, const char *name, const char *kind, int axes, const int64_t *shape, const void *data) {
    golden_array array = {0};
    int size = golden_size(kind);
    golden_array *grown = realloc(file->arrays, (file->count + 1) * sizeof *grown);
    if (grown != NULL) file->arrays = grown;
    if (grown == NULL || size == 0 || axes < 0 || axes > 8 || strlen(name) >= sizeof array.name || strpbrk(name, "\"\\")) {
        file->failed = 1;
        return;
    }
    strcpy(array.name, name);
    strcpy(array.kind, kind);
    array.axes = axes;
    array.bytes = (uint64_t)size;
    for (int i = 0; i < axes; i++) {
        array.shape[i] = shape[i];
        array.bytes *= (uint64_t)shape[i];
    }
    array.data = malloc(array.bytes ? array.bytes : 1);
    if (array.data == NULL) {
        file->failed = 1;
        return;
    }
    memcpy(array.data, data, array.bytes);
    file->arrays[file->count++] = array;
}

/* The JSON header into `out` (NULL: only counted); returns its length, padded to a multiple of 8. */
static uint64_t golden_header(const golden_file *file, FILE *out) {
    char piece[1024];
    uint64_t length = 0, end = 0;
#define PUT(...) (length += (uint64_t)snprintf(piece, sizeof piece, __VA_ARGS__), out ? (void)fputs(piece, out) : (void)0)
    PUT("{\"__metadata__\":{\"golden\":\"{\\\"version\\\": 1, \\\"dtype\\\": \\\"%s\\\"}\"}", file->dtype);
    for (size_t i = 0; i < file->count; i++) {
        const golden_array *array = &file->arrays[i];
        PUT(",\"%s\":{\"dtype\":\"%s\",\"shape\":[", array->name, array->kind);
        for (int axis = 0; axis < array->axes; axis++) PUT("%s%" PRId64, axis ? "," : "", array->shape[axis]);
        PUT("],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", end, end + array->bytes);
        end += array->bytes;
    }
    PUT("}");
    while (length % 8) PUT(" ");
#undef PUT
    return length;
}

/* Write the file and free everything. Returns 0, or -1 if an array could not be taken or the file not be written. */
int golden_close(golden_file *file) {
    int failed = file->failed;
    FILE *out = failed ? NULL : fopen(file->path, "wb");
    if (out != NULL) {
        uint64_t length = golden_header(file, NULL);
        for (int i = 0; i < 8; i++) fputc((int)(length >> (8 * i) & 255), out);
        golden_header(file, out);
        for (size_t i = 0; i < file->count; i++) fwrite(file->arrays[i].data, 1, file->arrays[i].bytes, out);
        failed = ferror(out) != 0;
        failed |= fclose(out) != 0;
    } else {
        failed = 1;
    }
    for (size_t i = 0; i < file->count; i++) free(file->arrays[i].data);
    free(file->arrays);
    free(file);
    return failed ? -1 : 0;
}
