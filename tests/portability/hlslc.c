// hlslc: compiles HLSL with Microsoft's own compilers and the flags of wgpu-hal 30. A Windows program, for
// Wine. (Written for this project.)
//
//   x86_64-w64-mingw32-gcc -O1 -o hlslc.exe hlslc.c
//   wine64 hlslc.exe fxc|dxc DLL-FOLDER ENTRY TARGET FILE...
//
// FXC is d3dcompiler_47.dll, DXC dxcompiler.dll. Prints one line a file: `ok FILE BYTES`, or `FAILED FILE`
// followed by messages.
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The COM interfaces as far as needed: tables of functions, with types only for those that are called.
typedef struct Blob Blob;
struct Blob {
    const struct {
        void *query, *add_ref;
        ULONG(WINAPI *release)(Blob *);
        void *(WINAPI *data)(Blob *);
        SIZE_T(WINAPI *size)(Blob *);
    } *table;
};
typedef struct Result Result; // IDxcResult
struct Result {
    const struct {
        void *query, *add_ref;
        ULONG(WINAPI *release)(Result *);
        HRESULT(WINAPI *status)(Result *, HRESULT *);
        HRESULT(WINAPI *result)(Result *, Blob **);
        HRESULT(WINAPI *errors)(Result *, Blob **);
    } *table;
};
typedef struct {
    const void *data;
    SIZE_T size;
    UINT encoding;
} Source;                         // DxcBuffer
typedef struct Compiler Compiler; // IDxcCompiler3
struct Compiler {
    const struct {
        void *query, *add_ref, *release;
        HRESULT(WINAPI *compile)(Compiler *, const Source *, const wchar_t **, UINT, void *, const GUID *,
                                 void **);
    } *table;
};

typedef HRESULT(WINAPI *D3DCompile)(const void *, SIZE_T, const char *, const void *, void *, const char *,
                                    const char *, UINT, UINT, Blob **, Blob **);
typedef HRESULT(WINAPI *DxcCreateInstance)(const GUID *, const GUID *, void **);

static const GUID CLSID_COMPILER = {
    0x73e22d93, 0xe6ce, 0x47f3, {0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1, 0xb0}};
static const GUID IID_COMPILER = {
    0x228b4687, 0x5a6a, 0x4730, {0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20, 0x3f, 0x54}};
static const GUID IID_RESULT = {0x58346cda, 0xdde7, 0x4497, {0x94, 0x61, 0x6f, 0x87, 0xaf, 0x5e, 0x06, 0x59}};

enum { ENABLE_STRICTNESS = 1 << 11, UTF8 = 65001 };

static char *read_file(const char *path, SIZE_T *size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("cannot open %s\n", path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *size = (SIZE_T)ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    *size = fread(text, 1, *size, file);
    fclose(file);
    return text;
}

static FARPROC function(const char *folder, const char *library, const char *name) {
    char path[MAX_PATH];
    snprintf(path, sizeof path, "%s\\%s", folder, library);
    HMODULE module = LoadLibraryA(path);
    if (!module) {
        printf("cannot load %s: error %lu\n", path, GetLastError());
        exit(2);
    }
    return GetProcAddress(module, name);
}

static int report(const char *file, HRESULT status, Blob *code, Blob *messages) {
    if (status == S_OK && code) {
        printf("ok %s %llu\n", file, (unsigned long long)code->table->size(code));
    } else {
        printf("FAILED %s %08lx\n", file, (unsigned long)status);
        if (messages)
            printf("%.*s\n", (int)messages->table->size(messages),
                   (const char *)messages->table->data(messages));
    }
    fflush(stdout);
    if (code) code->table->release(code);
    if (messages) messages->table->release(messages);
    return status != S_OK;
}

static int fxc(D3DCompile compile, const char *file, const char *entry, const char *target) {
    SIZE_T size;
    char *text = read_file(file, &size);
    Blob *code = NULL, *messages = NULL;
    HRESULT status =
        compile(text, size, file, NULL, NULL, entry, target, ENABLE_STRICTNESS, 0, &code, &messages);
    free(text);
    return report(file, status, code, messages);
}

static int dxc(Compiler *compiler, const char *file, const wchar_t *entry, const wchar_t *target) {
    Source source = {.encoding = UTF8};
    char *text = read_file(file, &source.size);
    source.data = text;
    const wchar_t *arguments[] = {L"-E", entry, L"-T", target, L"-HV", L"2018", L"-no-warnings", L"-Ges"};
    Result *result = NULL;
    Blob *code = NULL, *messages = NULL;
    HRESULT status =
        compiler->table->compile(compiler, &source, arguments, 8, NULL, &IID_RESULT, (void **)&result);
    if (status == S_OK) result->table->status(result, &status);
    if (result) {
        result->table->errors(result, &messages);
        if (status == S_OK) result->table->result(result, &code);
        result->table->release(result);
    }
    free(text);
    return report(file, status, code, messages);
}

int main(int argc, char **argv) {
    if (argc < 6) {
        puts("usage: hlslc fxc|dxc DLL-FOLDER ENTRY TARGET FILE...");
        return 2;
    }
    const char *folder = argv[2], *entry = argv[3], *target = argv[4];
    int failed = 0;
    if (!strcmp(argv[1], "fxc")) {
        D3DCompile compile = (D3DCompile)(void *)function(folder, "d3dcompiler_47.dll", "D3DCompile");
        for (int i = 5; i < argc; i++) failed |= fxc(compile, argv[i], entry, target);
    } else {
        DxcCreateInstance create =
            (DxcCreateInstance)(void *)function(folder, "dxcompiler.dll", "DxcCreateInstance");
        Compiler *compiler = NULL;
        if (create(&CLSID_COMPILER, &IID_COMPILER, (void **)&compiler) != S_OK) {
            puts("cannot create a compiler");
            return 2;
        }
        wchar_t wide_entry[64], wide_target[64];
        mbstowcs(wide_entry, entry, 64);
        mbstowcs(wide_target, target, 64);
        for (int i = 5; i < argc; i++) failed |= dxc(compiler, argv[i], wide_entry, wide_target);
    }
    return failed;
}
