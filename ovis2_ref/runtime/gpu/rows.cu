// Norms and softmax, one block of threads for each row: a single kernel that sums and writes, with the roundings of ops.py.
//
// Compiled for one type at a time: NUMBER is the type of the arrays, WIDE that of the sums (float, or double for double).

#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef NUMBER T;  // T(x) rounds
typedef WIDE W;
typedef long long whole;

struct Sum {
    static __device__ W of(W a, W b) { return a + b; }
};

struct Highest {  // of NaN and a number NaN, as in NumPy
    static __device__ W of(W a, W b) { return a != a || a > b ? a : b; }
};

// Combine the values of all threads of the block; every thread gets the result.
template <typename Operation>
__device__ W combined(W value) {
    __shared__ W of_warps[32];
    for (int lanes = 16; lanes > 0; lanes /= 2)
        value = Operation::of(value, __shfl_xor_sync(0xffffffff, value, lanes));
    __syncthreads();  // of_warps may still be read for an earlier result
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warps[0];
    for (int warp = 1; warp < blockDim.x / 32; warp++) value = Operation::of(value, of_warps[warp]);
    return value;
}

// y = weight * x / sqrt(mean(x^2) + eps)
extern "C" __global__ void rms_norm(const T* x, const T* weight, T* y, whole width, W eps) {
    x += blockIdx.x * width, y += blockIdx.x * width;
    W squares = 0;
    for (whole i = threadIdx.x; i < width; i += blockDim.x) squares += W(x[i]) * W(x[i]);
    const W factor = 1 / sqrt(combined<Sum>(squares) / width + eps);
    for (whole i = threadIdx.x; i < width; i += blockDim.x) y[i] = T(W(T(W(x[i]) * factor)) * W(weight[i]));
}

// y = weight * (x - mean) / sqrt(var + eps) + bias
extern "C" __global__ void layer_norm(const T* x, const T* weight, const T* bias, T* y, whole width, W eps) {
    x += blockIdx.x * width, y += blockIdx.x * width;
    W sum = 0, squares = 0;
    for (whole i = threadIdx.x; i < width; i += blockDim.x) sum += W(x[i]);
    const W mean = combined<Sum>(sum) / width;
    for (whole i = threadIdx.x; i < width; i += blockDim.x) squares += (W(x[i]) - mean) * (W(x[i]) - mean);
    const W deviation = sqrt(combined<Sum>(squares) / width + eps);
    for (whole i = threadIdx.x; i < width; i += blockDim.x)
        y[i] = T((W(x[i]) - mean) / deviation * W(weight[i]) + W(bias[i]));
}

// The score x * factor + mask, rounded after each operation; no mask where the pointer is null.
__device__ W score(T x, W factor, const T* mask, whole i) {
    const T scaled = T(W(x) * factor);
    return mask ? W(T(W(scaled) + W(mask[i]))) : W(scaled);
}

// y = softmax(x * factor + mask) of rows (batch, heads, queries, keys) side by side: block (query, head, batch). The numbers of
// the mask from one query, head and row of the batch to the next are given; 0 where one is for all.
extern "C" __global__ void softmax(const T* x, T* y, whole keys, W factor, const T* mask, whole query, whole head, whole batch) {
    const whole row = ((whole)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    x += row * keys, y += row * keys;
    if (mask) mask += blockIdx.x * query + blockIdx.y * head + blockIdx.z * batch;
    W highest = score(x[0], factor, mask, 0), sum = 0;
    for (whole i = threadIdx.x; i < keys; i += blockDim.x) highest = Highest::of(score(x[i], factor, mask, i), highest);
    highest = combined<Highest>(highest);
    for (whole i = threadIdx.x; i < keys; i += blockDim.x) sum += exp(score(x[i], factor, mask, i) - highest);
    sum = combined<Sum>(sum);
    for (whole i = threadIdx.x; i < keys; i += blockDim.x) y[i] = T(exp(score(x[i], factor, mask, i) - highest) / sum);
}

// (a, b) -> (a cos - b sin, b cos + a sin) for the pairs of heads (batch, heads, tokens, 2 pairs): block (token, head, batch), a
// thread for each pair. The numbers of x and of the tables from one token, head and row of the batch to the next are given.
extern "C" __global__ void rotate(const T* x, const T* cos, const T* sin, T* y, whole pairs, whole token, whole head, whole batch,
                                  whole token_of_table, whole batch_of_table) {
    const whole table = blockIdx.x * token_of_table + blockIdx.z * batch_of_table;
    x += blockIdx.x * token + blockIdx.y * head + blockIdx.z * batch;
    y += (((whole)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x) * 2 * pairs;
    for (whole i = threadIdx.x; i < pairs; i += blockDim.x) {
        const W a = W(x[i]), b = W(x[pairs + i]), c = W(cos[table + i]), s = W(sin[table + i]);
        y[i] = T(W(T(a * c)) - W(T(b * s)));
        y[pairs + i] = T(W(T(b * c)) + W(T(a * s)));
    }
}
