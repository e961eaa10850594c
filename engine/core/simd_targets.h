/// \file
/// The instruction sets that Highway leaves out, for every file that is compiled once for each: to be included before
/// hwy/foreach_target.h. What is left: AVX-512, AVX2, SSE4 and plain C++ on x86-64, and NEON.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
