// tensor_cores.cuh on a CPU: each lane of a warp shows the others what it holds, and computes its own part of the result.

#include <cmath>

#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))

using std::exp2f;

typedef NUMBER T;
typedef uint32_t Pair;

static float __int_as_float(int bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static uint64_t shown[1024][6];

// Show up to six words to the other lanes, and return what all 32 lanes show. hide() has to follow.
static uint64_t (*show(int count, const uint64_t* words))[6] {
    for (int i = 0; i < count; i++) shown[threadIdx.x][i] = words[i];
    wait();
    return shown + threadIdx.x / 32 * 32;
}
static void hide() { wait(); }

static float number(Pair pair, int i) {
    T both[2] = {T(0.0f), T(0.0f)};
    memcpy((void*)both, &pair, sizeof both);
    return float(both[i]);
}

// PTX ISA, "Matrix fragments for mma.m16n8k16": lane 4 r + c holds, of a, rows r and r + 8, columns 2 c and 2 c + 8; of b, rows 2 c
// and 2 c + 8 of column r; of the sum, rows r and r + 8, columns 2 c and 2 c + 1.
static void multiply(float* sum, const Pair* a, Pair b0, Pair b1) {
    const uint64_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    auto lanes = show(6, mine);
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            const float x = number(lanes[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2);
            const float y = number(lanes[column * 4 + k % 8 / 2][4 + k / 8], k % 2);
            sum[i] += x * y;
        }
    }
    hide();
}

static void load_matrices(Pair* to, const T* address, bool transposed) {
    const uint64_t mine[1] = {(uint64_t)address};
    auto lanes = show(1, mine);
    const int lane = threadIdx.x % 32;
    for (int matrix = 0; matrix < 4; matrix++) {
        T both[2] = {T(0.0f), T(0.0f)};
        for (int i = 0; i < 2; i++) {
            const int row = transposed ? lane % 4 * 2 + i : lane / 4, column = transposed ? lane / 4 : lane % 4 * 2 + i;
            both[i] = ((const T*)lanes[matrix * 8 + row][0])[column];
        }
        memcpy(&to[matrix], (void*)both, sizeof both);
    }
    hide();
}
static void load(Pair* to, const T* row) { load_matrices(to, row, false); }
static void load_transposed(Pair* to, const T* row) { load_matrices(to, row, true); }

// A copy arrives at once, or only when it is waited for, by turns: as late and as early as on a GPU.
struct Copy {
    T* to;
    const T* from;
    bool there;
    void arrive() {
        for (int i = 0; i < 8; i++) to[i] = there ? from[i] : T(0.0f);
    }
};
static std::vector<std::vector<Copy>> under_way[1024];
static int copies;

static void copy_8_numbers(T* to, const T* from, bool there) {
    if ((uint64_t)to % 16 || (there && (uint64_t)from % 16)) abort();  // a GPU refuses addresses that aren't aligned
    auto& groups = under_way[threadIdx.x];
    if (groups.empty()) groups.emplace_back();
    groups.back().push_back({to, from, there});
    if (copies++ % 2) groups.back().back().arrive(), groups.back().pop_back();
}
static void end_group() { under_way[threadIdx.x].emplace_back(); }
template <int count>
static void wait_for_all_but() {
    auto& groups = under_way[threadIdx.x];
    while (groups.size() > count + 1) {  // the last is still open
        for (Copy& copy : groups.front()) copy.arrive();
        groups.erase(groups.begin());
    }
    wait();
}
