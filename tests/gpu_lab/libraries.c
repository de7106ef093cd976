// cuBLAS and cuDNN that compute nothing: what torch 2.14 calls of them, each product or convolution one kernel.
#include "driver.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { cudaStream_t stream; int mode, pointers; } Handle;
// The bytes that a convolution wants as a workspace.
EXPORT size_t fake_workspace = 4 << 20;

#define NOTHING(name) EXPORT int name() { return 0; }
#define NEW(name) EXPORT int name(void **out) { *out = calloc(1, 256); return 0; }
#define KERNEL(name) EXPORT int name(Handle *h) { return launch(h->stream, #name, #name) ? 13 : 0; }

EXPORT int cublasCreate_v2(Handle **out) { *out = calloc(1, sizeof(Handle)); return 0; }
EXPORT int cublasSetStream_v2(Handle *h, cudaStream_t s) { h->stream = s; return 0; }
EXPORT int cublasSetMathMode(Handle *h, int mode) { h->mode = mode; return 0; }
EXPORT int cublasGetMathMode(Handle *h, int *mode) { *mode = h->mode; return 0; }
EXPORT int cublasSetPointerMode_v2(Handle *h, int mode) { h->pointers = mode; return 0; }
EXPORT int cublasGetPointerMode_v2(Handle *h, int *mode) { *mode = h->pointers; return 0; }
NOTHING(cublasDestroy_v2)
NOTHING(cublasSetWorkspace_v2)
NOTHING(cublasSetSmCountTarget)
KERNEL(cublasSgemm_v2)
KERNEL(cublasGemmEx)
KERNEL(cublasSgemmEx)
KERNEL(cublasGemmStridedBatchedEx)
KERNEL(cublasSgemmStridedBatched)
KERNEL(cublasSgemv_v2)
EXPORT int cublasLtMatmul(void *h, void *d, void *alpha, void *A, void *a, void *B, void *b, void *beta, void *C, void *c,
                          void *D, void *e, void *algorithm, void *workspace, size_t size, cudaStream_t stream) {
    return launch(stream, "cublasLtMatmul", "cublasLtMatmul") ? 13 : 0;
}
typedef struct { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; } Found;
EXPORT int cublasLtMatmulAlgoGetHeuristic(void *h, void *d, void *a, void *b, void *c, void *e, void *p, int wanted,
                                          Found *found, int *count) {
    memset(found, 0, sizeof(*found));
    *count = 1;
    return 0;
}
NEW(cublasLtMatmulDescCreate)
NOTHING(cublasLtMatmulDescDestroy)
NOTHING(cublasLtMatmulDescSetAttribute)
NEW(cublasLtMatmulPreferenceCreate)
NOTHING(cublasLtMatmulPreferenceDestroy)
NOTHING(cublasLtMatmulPreferenceSetAttribute)
NEW(cublasLtMatrixLayoutCreate)
NOTHING(cublasLtMatrixLayoutDestroy)
NOTHING(cublasLtMatrixLayoutSetAttribute)

// cuDNN is asked for engines, of which it has some, and each runs all there is. The numbers are those of cudnn_graph.h.
enum { ENGINE_OF_CONFIGURATION = 300, HEURISTIC_RESULTS = 202, ENGINES_OF_GRAPH = 802, ENGINE_INDEX = 1301,
       WORKSPACE_OF_PLAN = 402, WORKSPACE_OF_CONFIGURATION = 303 };
enum { ENGINES = 3 };

EXPORT int cudnnCreate(Handle **out) { *out = calloc(1, sizeof(Handle)); return 0; }
EXPORT int cudnnSetStream(Handle *h, cudaStream_t s) { h->stream = s; return 0; }
EXPORT int cudnnGetStream(Handle *h, cudaStream_t *s) { *s = h->stream; return 0; }
// A descriptor is the number of its engine.
EXPORT int cudnnBackendCreateDescriptor(int type, int64_t **out) { *out = calloc(1, sizeof(int64_t)); return 0; }
NOTHING(cudnnBackendDestroyDescriptor)
NOTHING(cudnnBackendFinalize)
NOTHING(cudnnBackendSetAttribute)
static int answer(int64_t value, int64_t wanted, int64_t *count, void *out) {
    if (count) *count = 1;
    if (out && wanted) *(int64_t *)out = value;
    return 0;
}
EXPORT int cudnnBackendGetAttribute(int64_t *d, int name, int type, int64_t wanted, int64_t *count, void *out) {
    int64_t **descriptors = out;
    switch (name) {
    case HEURISTIC_RESULTS:
        if (count) *count = out && wanted < ENGINES ? wanted : ENGINES;
        for (int64_t i = 0; out && i < wanted && i < ENGINES; i++) *descriptors[i] = i + 1;
        return 0;
    case ENGINE_OF_CONFIGURATION:
        if (count) *count = 1;
        if (out && wanted) *descriptors[0] = *d;
        return 0;
    case ENGINES_OF_GRAPH: return answer(ENGINES, wanted, count, out);
    case ENGINE_INDEX: return answer(*d, wanted, count, out);
    case WORKSPACE_OF_PLAN:
    case WORKSPACE_OF_CONFIGURATION: return answer(fake_workspace, wanted, count, out);
    }
    if (count) *count = 0;
    return 0;
}
KERNEL(cudnnBackendExecute)
NEW(cudnnCreateTensorDescriptor)
NEW(cudnnCreateActivationDescriptor)
NOTHING(cudnnDestroyTensorDescriptor)
NOTHING(cudnnDestroyActivationDescriptor)
NOTHING(cudnnSetTensorNdDescriptor)
NOTHING(cudnnSetActivationDescriptor)
#define NO_BYTES(name, ...) EXPORT int name(__VA_ARGS__, size_t *size) { *size = 0; return 0; }
NO_BYTES(cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize, void *h, int m, int o, void *x, void *z, void *y, void *b, void *a)
NO_BYTES(cudnnGetBatchNormalizationBackwardExWorkspaceSize, void *h, int m, int o, void *x, void *y, void *dy, void *dz, void *dx, void *b, void *a)
NO_BYTES(cudnnGetBatchNormalizationTrainingExReserveSpaceSize, void *h, int m, int o, void *a, void *x)
KERNEL(cudnnBatchNormalizationForwardInference)
KERNEL(cudnnBatchNormalizationForwardTrainingEx)
KERNEL(cudnnBatchNormalizationBackwardEx)
