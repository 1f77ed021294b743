// The instructions of a GPU's tensor cores that attention.cu uses (PTX ISA, "mma.sync.m16n8k16", "ldmatrix", "cp.async"; from
// compute capability 8.0 on), for numbers of 16 bits: NUMBER is their type, KIND its name in PTX.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef NUMBER T;
typedef unsigned int Pair;  // two numbers of T

__device__ unsigned address(const T* shared) { return (unsigned)__cvta_generic_to_shared(shared); }

// sum (16, 8) += a (16, 16) b (16, 8), each spread over the 32 lanes of a warp.
__device__ void multiply(float* sum, const Pair* a, Pair b0, Pair b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." KIND "." KIND ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Spread four matrices (8, 8) over a warp: lane i gives the address of row i % 8 of matrix i / 8, and gets two numbers of each,
// of row lane / 4.
__device__ void load(Pair* to, const T* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address(row)));
}

// The same of column lane / 4.
__device__ void load_transposed(Pair* to, const T* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address(row)));
}

// Begin to copy 8 numbers into shared memory; zeros where they aren't there.
__device__ void copy_8_numbers(T* to, const T* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address(to)), "l"(from), "r"(there ? 16 : 0));
}

// Make one group of the copies begun since the last one.
__device__ void end_group() { asm volatile("cp.async.commit_group;"); }

// Wait until only so many groups are under way, in every thread of the block.
template <int groups>
__device__ void wait_for_all_but() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
    __syncthreads();
}
