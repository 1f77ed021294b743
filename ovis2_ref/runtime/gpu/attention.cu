// softmax(q k^T * factor + mask) v without the scores in memory (Dao, 2023, "FlashAttention-2", algorithm 1), on tensor cores.
//
// Compiled for one type of 16 bits and one HEAD_DIM, a multiple of 16 up to 128. A block of four warps computes 64 queries of a
// head, 16 in each warp, and passes over the keys 64 at a time; after each pass, `sums` and `total` are what they would be if no
// more keys came. Scores and sums are float. The weights are rounded to T before they multiply v, and their sum divides at the end.
//
// In a fragment (16, 8) of a result, a lane holds the rows `row` (numbers 0 and 1) and `row` + 8 (2 and 3), columns `column`, + 1.

typedef long long whole;

constexpr int TILE = 64, DIM = HEAD_DIM;
constexpr int PITCH = DIM + 8;  // numbers from row to row of a tile: eight rows begin in eight different banks

__device__ Pair packed(float a, float b) {
    T pair[2] = {T(a), T(b)};
    Pair result;
    memcpy(&result, pair, sizeof result);
    return result;
}

// Begin to copy TILE rows from row `first` on; rows from `count` on are zeros.
__device__ void begin_copy(T* tile, const T* rows, int first, int count, whole step) {
    for (int i = threadIdx.x; i < TILE * DIM / 8; i += blockDim.x) {
        const int row = i / (DIM / 8), column = i % (DIM / 8) * 8;
        const bool there = first + row < count;
        copy_8_numbers(tile + row * PITCH + column, rows + (there ? (first + row) * step : 0) + column, there);
    }
    end_group();
}

// The largest number, and the sum, of a row's numbers, which four lanes hold.
__device__ float largest_in_row(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffff, x, 2));
}
__device__ float sum_of_row(float x) {
    x += __shfl_xor_sync(0xffffffff, x, 1);
    return x + __shfl_xor_sync(0xffffffff, x, 2);
}

__device__ float exponential(float x) { return exp2f(x * 1.44269504f); }

// Block (queries / 64, head, row of the batch). `group` heads share keys and values. The numbers of each array from one token,
// head and row of the batch to the next are given; those of a token's head lie side by side. No mask where the pointer is null.
extern "C" __global__ void __launch_bounds__(128) attention(
    const T* q, const T* k, const T* v, T* out, const T* mask, float factor, whole query_count, whole key_count, whole group,
    whole q_token, whole q_head, whole q_batch, whole k_token, whole k_head, whole k_batch,
    whole v_token, whole v_head, whole v_batch, whole out_token, whole out_head, whole out_batch,
    whole mask_token, whole mask_head, whole mask_batch) {
    __shared__ __align__(16) T k_tile[TILE * PITCH], v_tile[TILE * PITCH];
    const int lane = threadIdx.x % 32, row = lane / 4, column = lane % 4 * 2, of_warp = threadIdx.x / 32 * 16;
    const int queries = query_count, keys = key_count, first = blockIdx.x * TILE, head = blockIdx.y, batch = blockIdx.z;
    const float nothing = -__int_as_float(0x7f800000);  // minus infinity
    q += batch * q_batch + head * q_head;
    k += batch * k_batch + head / group * k_head;
    v += batch * v_batch + head / group * v_head;
    out += batch * out_batch + head * out_head;
    if (mask) mask += batch * mask_batch + head * mask_head;

    Pair query[DIM / 16][4];
    begin_copy(k_tile, q, first, queries, q_token);
    wait_for_all_but<0>();
    for (int i = 0; i < DIM / 16; i++) load(query[i], k_tile + (of_warp + lane % 16) * PITCH + i * 16 + lane / 16 * 8);
    __syncthreads();

    float sums[DIM / 8][4] = {}, highest[2] = {nothing, nothing}, total[2] = {0, 0};
    begin_copy(k_tile, k, 0, keys, k_token);
    for (int start = 0; start < keys; start += TILE) {
        wait_for_all_but<0>();  // k is there, and every warp has read the last v
        begin_copy(v_tile, v, start, keys, v_token);
        float scores[TILE / 8][4] = {};
        for (int i = 0; i < DIM / 16; i++)
            for (int j = 0; j < TILE / 16; j++) {
                Pair b[4];
                load(b, k_tile + (j * 16 + lane / 16 * 8 + lane % 8) * PITCH + i * 16 + lane / 8 % 2 * 8);
                multiply(scores[2 * j], query[i], b[0], b[1]);
                multiply(scores[2 * j + 1], query[i], b[2], b[3]);
            }
        __syncthreads();  // every warp has read k
        begin_copy(k_tile, k, start + TILE, keys, k_token);

        float before[2] = {highest[0], highest[1]};
        for (int j = 0; j < TILE / 8; j++)
            for (int i = 0; i < 4; i++) {
                const int key = start + j * 8 + column + i % 2, token = first + of_warp + row + i / 2 * 8;
                float& score = scores[j][i];
                score = key < keys ? score * factor : nothing;
                if (mask && key < keys && token < queries) score += float(mask[token * mask_token + key]);
                highest[i / 2] = fmaxf(highest[i / 2], score);
            }
        float shift[2];
        for (int half = 0; half < 2; half++) {
            highest[half] = largest_in_row(highest[half]);
            shift[half] = highest[half] == nothing ? 0 : highest[half];
            const float shrink = exponential(before[half] - shift[half]);
            total[half] *= shrink;
            for (int j = 0; j < DIM / 8; j++) sums[j][2 * half] *= shrink, sums[j][2 * half + 1] *= shrink;
        }
        for (int j = 0; j < TILE / 8; j++)
            for (int i = 0; i < 4; i++) {
                scores[j][i] = exponential(scores[j][i] - shift[i / 2]);
                total[i / 2] += scores[j][i];
            }
        wait_for_all_but<1>();  // v is there; the next k may be under way
        for (int i = 0; i < TILE / 16; i++) {
            const float *left = scores[2 * i], *right = scores[2 * i + 1];
            const Pair weights[4] = {packed(left[0], left[1]), packed(left[2], left[3]),
                                     packed(right[0], right[1]), packed(right[2], right[3])};
            for (int j = 0; j < DIM / 16; j++) {
                Pair b[4];
                load_transposed(b, v_tile + (i * 16 + lane % 16) * PITCH + j * 16 + lane / 16 * 8);
                multiply(sums[2 * j], weights, b[0], b[1]);
                multiply(sums[2 * j + 1], weights, b[2], b[3]);
            }
        }
    }
    for (int half = 0; half < 2; half++) {
        const int token = first + of_warp + row + half * 8;
        const float share = 1 / sum_of_row(total[half]);
        if (token < queries)
            for (int j = 0; j < DIM / 8; j++) {
                const Pair pair = packed(sums[j][2 * half] * share, sums[j][2 * half + 1] * share);
                memcpy(out + token * out_token + j * 8 + column, &pair, sizeof pair);
            }
    }
}
