// CUDA's threads on a CPU, for the kernels' text: each thread of a block is a coroutine that runs until it waits for the others.
//
// Blocks run one after the other. All threads of a block have to pass the same waits, as CUDA demands of __syncthreads.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <ucontext.h>
#include <vector>

#define __device__
#define __global__
#define __shared__ static

using std::exp;
using std::sqrt;

struct bfloat16 {
    uint16_t bits;
    bfloat16() = default;
    explicit bfloat16(float x) {  // to the nearest, ties to even
        uint32_t all;
        memcpy(&all, &x, 4);
        bits = x != x ? 0x7fff : (all + 0x7fff + (all >> 16 & 1)) >> 16;
    }
    explicit operator float() const {
        uint32_t all = uint32_t(bits) << 16;
        float x;
        memcpy(&x, &all, 4);
        return x;
    }
};

struct Place {
    unsigned x, y, z;
};
Place threadIdx, blockIdx, gridDim, blockDim;

static ucontext_t all_threads;
static std::vector<ucontext_t> threads;
static std::function<void()> kernel;
static unsigned finished;
static double exchanged[1024];

static void wait() { swapcontext(&threads[threadIdx.x], &all_threads); }

void __syncthreads() { wait(); }

template <typename Number>
Number __shfl_xor_sync(unsigned, Number value, int lanes) {
    exchanged[threadIdx.x] = value;
    wait();
    value = exchanged[threadIdx.x ^ lanes];
    wait();
    return value;
}

static void thread() {
    kernel();
    finished++;
    wait();
}

static void run_block() {
    static std::vector<char> stacks(1024 << 14);
    threads.assign(blockDim.x, {});
    for (unsigned i = 0; i < blockDim.x; i++) {
        getcontext(&threads[i]);
        threads[i].uc_stack.ss_sp = stacks.data() + (i << 14);
        threads[i].uc_stack.ss_size = 1 << 14;
        makecontext(&threads[i], thread, 0);
    }
    for (finished = 0; finished < blockDim.x;)
        for (threadIdx = {0, 0, 0}; threadIdx.x < blockDim.x; threadIdx.x++) swapcontext(&all_threads, &threads[threadIdx.x]);
}

static void launch(Place grid, unsigned of_a_block, std::function<void()> function) {
    gridDim = grid, blockDim = {of_a_block, 1, 1}, kernel = function;
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++) run_block();
}
