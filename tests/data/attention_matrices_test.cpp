// Attention matrices given directly: which tensors they are, probabilities or scores, reading them as scores, and their values.
#include "data/attention_matrices.h"

#include "attention/exact_attention.h"
#include "core/errors.h"
#include "data/activations.h"
#include "support/archive_bytes.h"
#include "support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stop_token>

namespace convbasis {
namespace {

using test::TemporaryFolder;
using test::TensorBytes;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing_inputs::message_of;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Causal probabilities of random rows; some are exactly 0.
Matrix<double> probabilities(Index n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Matrix<double> matrix = Matrix<double>::Zero(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) matrix(i, j) = j > 0 && random() % 8 == 0 ? 0.0 : static_cast<double>(1 + random() % 1000);
    matrix.row(i) /= matrix.row(i).sum();
  }
  return matrix;
}

/// Scores of both signs, also above the diagonal.
Matrix<double> random_scores(Index n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Matrix<double> matrix(n, n);
  for (Index i = 0; i < n * n; ++i) matrix.data()[i] = static_cast<double>(random() % 2000) / 100.0 - 10.0;
  return matrix;
}

TensorBytes tensor(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<Matrix<double>>& matrices) {
  std::string data;
  for (const Matrix<double>& matrix : matrices) {
    data += test::bytes_of_numbers(std::span<const double>(matrix.data(), static_cast<std::size_t>(matrix.size())));
  }
  return {name, "F64", shape, data};
}

TensorBytes one_head(const std::string& name, const Matrix<double>& matrix) {
  return tensor(name, {matrix.rows(), matrix.rows()}, {matrix});
}

TensorBytes values(const std::string& name, const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t axis : shape) count *= axis;
  std::vector<float> numbers;
  for (std::int64_t i = 0; i < count; ++i) numbers.push_back(static_cast<float>(i));
  return {name, "F32", shape, test::bytes_of_numbers(numbers)};
}

/// The scores on and below the diagonal that probabilities stand for.
Matrix<double> log_of(const Matrix<double>& matrix) {
  Matrix<double> result = Matrix<double>::Zero(matrix.rows(), matrix.rows());
  for (Index i = 0; i < matrix.rows(); ++i) {
    for (Index j = 0; j <= i; ++j) result(i, j) = matrix(i, j) == 0.0 ? masked_score : std::log(matrix(i, j));
  }
  return result;
}

Matrix<double> whole(const HeadTensors<double>& head) {
  const Index n = head.query.rows();
  Matrix<double> result(n, n);
  head.matrix->read(0, 0, mutable_view(result));
  return result;
}

class AttentionTest : public ::testing::Test {
 protected:
  Activations open(const std::vector<TensorBytes>& tensors, const ActivationHints& hints = {}) {
    return Activations::open({folder_.write("a.safetensors", test::safetensors_bytes(tensors))}, hints);
  }
  std::string problem(const std::vector<TensorBytes>& tensors, const ActivationHints& hints = {}) {
    return message_of<Error>([&] { (void)open(tensors, hints); });
  }
  TemporaryFolder folder_;
};

TEST_F(AttentionTest, Shapes) {
  const std::vector<Matrix<double>> four{probabilities(5, 1), probabilities(5, 2), probabilities(5, 3), probabilities(5, 4)};
  struct Case {
    std::vector<std::int64_t> shape;
    Index layers, heads;
    std::string layout;
  };
  for (const auto& [shape, layers, heads, layout] :
       {Case{{4, 5, 5}, 1, 4, "hnn"}, Case{{1, 4, 5, 5}, 1, 4, "1hnn"}, Case{{2, 2, 5, 5}, 2, 2, "lhnn"}}) {
    const Activations activations = open({tensor("attentions", shape, four)});
    ASSERT_EQ(std::ssize(activations.layers()), layers);
    for (Index i = 0; i < 4; ++i) {
      const LayerInfo& info = activations.layer(i / heads);
      EXPECT_EQ(info.kind, HeadKind::attention);
      EXPECT_EQ(info.attention_kind, AttentionKind::probabilities);
      EXPECT_EQ(info.attention, "attentions");
      EXPECT_EQ(info.layout, layout);
      EXPECT_EQ(info.size, 5);
      EXPECT_EQ(info.heads, heads);
      const HeadTensors<double> head = activations.load<double>(i / heads, i % heads);
      EXPECT_EQ(head.query.rows(), 5);
      EXPECT_EQ(head.query.cols(), 0);
      EXPECT_EQ(whole(head), log_of(four[static_cast<std::size_t>(i)]));
    }
  }
  EXPECT_EQ(whole(open({one_head("attn", four[0])}).load<double>(0, 0)), log_of(four[0]));
}

TEST_F(AttentionTest, NamesAndTheOnlySquareThings) {
  const Matrix<double> matrix = probabilities(4, 7);
  for (const char* name : {"attentions", "layers.0.attn_weights", "model.scores", "probs", "blocks/0/hook_pattern"}) {
    const Activations activations = open({one_head(name, matrix), values("other", {3})});
    EXPECT_EQ(activations.layers().front().attention, name);
    EXPECT_THAT(activations.layers().front().reason, HasSubstr("its name says attention"));
  }
  const Activations alone = open({one_head("x", matrix), values("y", {2, 3})});
  EXPECT_THAT(alone.layers().front().reason, HasSubstr("no other tensor is square"));
  // As torch.save(outputs.attentions) names them: by position.
  const Activations listed = open({one_head("0", matrix), one_head("1", probabilities(4, 8)), one_head("12", matrix)});
  ASSERT_EQ(listed.layers().size(), 3U);
  EXPECT_EQ(whole(listed.load<double>(12, 0)), log_of(matrix));
  EXPECT_EQ(whole(listed.load<double>(1, 0)), log_of(probabilities(4, 8)));
  EXPECT_THAT(problem({one_head("attn.c_proj.weight", matrix)}), HasSubstr("these are a model's weights"));
  EXPECT_THAT(problem({one_head("layers.0.attention.q_proj", matrix)}), HasSubstr("no query, key and value"));
}

TEST_F(AttentionTest, ScoresMayHoldMasksAndAnythingAboveTheDiagonal) {
  Matrix<double> matrix = random_scores(6, 3);
  Matrix<double> expected = matrix.triangularView<Eigen::Lower>();
  matrix(4, 1) = -infinity;
  matrix(5, 0) = -std::numeric_limits<float>::max();
  expected(4, 1) = expected(5, 0) = masked_score;
  matrix(0, 3) = std::numeric_limits<double>::quiet_NaN();
  matrix(1, 2) = -infinity;
  matrix(2, 4) = infinity;
  const Activations activations = open({one_head("scores", matrix)});
  EXPECT_EQ(activations.layers().front().attention_kind, AttentionKind::scores);
  EXPECT_THAT(activations.layers().front().reason, HasSubstr("taken for scores: in 4 rows looked at"));
  EXPECT_EQ(whole(activations.load<double>(0, 0)), expected);
}

TEST_F(AttentionTest, RowsThatAttendToNothing) {
  Matrix<double> padded = probabilities(6, 3);
  padded.topRows(2).setZero();
  const Activations activations = open({one_head("attn", padded)});
  EXPECT_EQ(activations.layers().front().attention_kind, AttentionKind::probabilities);
  EXPECT_EQ(activations.load<double>(0, 0).matrix->size(), 6);
  EXPECT_EQ(open({one_head("attn", Matrix<double>::Zero(6, 6))}).layers().front().attention_kind, AttentionKind::scores);
}

TEST_F(AttentionTest, TheUserSettlesTheKind) {
  const Matrix<double> matrix = probabilities(4, 7);
  ActivationHints hints;
  hints.attention_kind = AttentionKind::scores;
  const Activations activations = open({one_head("attn", matrix)}, hints);
  EXPECT_EQ(whole(activations.load<double>(0, 0)), Matrix<double>(matrix.triangularView<Eigen::Lower>()));
  EXPECT_THAT(activations.layers().front().reason, HasSubstr("taken for scores, as given"));
  hints.attention_kind = AttentionKind::probabilities;
  const Matrix<double> halves = 0.5 * matrix;
  EXPECT_EQ(whole(open({one_head("attn", halves)}, hints).load<double>(0, 0)), log_of(halves));
  EXPECT_EQ(open({one_head("attn", halves)}).layers().front().attention_kind, AttentionKind::scores);
}

TEST_F(AttentionTest, TheUserNamesTheTensor) {
  const Matrix<double> matrix = probabilities(4, 7);
  std::vector<TensorBytes> tensors{values("q", {1, 4, 3}),   values("k", {1, 4, 3}),     values("v", {1, 4, 3}),
                                   one_head("attn", matrix), one_head("3.mine", matrix), one_head("5.mine", matrix)};
  EXPECT_EQ(open(tensors).layers().front().kind, HeadKind::query_key) << "queries and keys go first";
  ActivationHints hints;
  hints.attention_name = "attn";
  EXPECT_EQ(open(tensors, hints).layers().front().attention, "attn");
  EXPECT_EQ(open(tensors, hints).layers().front().value, "v");
  hints.attention_name = "{L}.mine";
  EXPECT_EQ(open(tensors, hints).layers().back().layer, 5);
  hints.attention_name = "none";
  EXPECT_THAT(problem(tensors, hints), HasSubstr("has no tensor \"none\" (given as attention)"));
  hints.attention_name = "q";
  EXPECT_THAT(problem(tensors, hints), HasSubstr("tensor \"q\" (1, 4, 3) of f32 is no stack of attention matrices; expected"));
  hints.attention_name = "attn";
  hints.value_name = "q";
  EXPECT_EQ(open(tensors, hints).layers().front().value, "q");
  hints.attention_name = "5.mine";
  EXPECT_EQ(open(tensors, hints).layers().front().value, "q");
  hints.value_name = "{L}.mine";
  EXPECT_EQ(open(tensors, hints).layers().front().value, "5.mine");
  hints.value_name = "none";
  EXPECT_THAT(problem(tensors, hints), HasSubstr("value \"none\" was given, but no value tensor of this layer was found"));
  hints.query_name = "q";
  EXPECT_THAT(problem(tensors, hints), HasSubstr("names were given for attention matrices and for query or key"));
}

TEST_F(AttentionTest, WhatIsAmbiguousOrUnfitIsRefused) {
  const Matrix<double> matrix = probabilities(4, 7);
  EXPECT_THAT(
      problem({one_head("encoder.attn", matrix), one_head("decoder.attn", matrix)}),
      HasSubstr("tensors \"decoder.attn\" (4, 4) and \"encoder.attn\" (4, 4) could both be attention matrices; give the name"));
  EXPECT_THAT(problem({one_head("a0.attn0", matrix), one_head("a0.attn1", matrix)}), HasSubstr("could both be"));
  EXPECT_THAT(problem({tensor("layers.0.attn", {2, 1, 4, 4}, {matrix, matrix})}),
              HasSubstr("holds 2 sequences; save one: (1, heads, n, n)"));
  EXPECT_THAT(problem({tensor("attn", {2, 4, 4}, {matrix, matrix}), tensor("attn.1", {4, 4}, {matrix}),
                       tensor("attn.2", {4, 4}, {matrix})}),
              HasSubstr("could both be attention matrices"));
  EXPECT_THAT(problem({tensor("attn", {0, 4, 4}, {})}), HasSubstr("is empty; expected at least one head"));
}

TEST_F(AttentionTest, ProbabilitiesThatAreNotCausalAreRefused) {
  Matrix<double> matrix = Matrix<double>::Constant(4, 4, 0.25);
  EXPECT_THAT(problem({one_head("attn", matrix)}),
              HasSubstr("tensor \"attn\" (4, 4) holds probabilities that are not causal: a row gives 0.75 to tokens after it"));
  ActivationHints hints;
  hints.attention_kind = AttentionKind::probabilities;
  EXPECT_THAT(problem({one_head("attn", matrix)}, hints), HasSubstr("not causal"));
}

TEST_F(AttentionTest, EntriesThatAreNoSuchNumbersAreLocated) {
  const auto problem_of_entry = [&](double entry, AttentionKind kind) {
    Matrix<double> matrix = probabilities(40, 7);
    matrix(17, 5) = entry;  // in no row that is looked at when the file is opened
    ActivationHints hints;
    hints.attention_kind = kind;
    const HeadTensors<double> head = open({one_head("attn", matrix)}, hints).load<double>(0, 0);
    return message_of<FileError>([&] { (void)whole(head); });
  };
  EXPECT_THAT(
      problem_of_entry(std::nan(""), AttentionKind::probabilities),
      AllOf(HasSubstr("a.safetensors: tensor \"attn\", head 0, row 17, column 5 is "), HasSubstr("; expected a probability")));
  EXPECT_THAT(problem_of_entry(-0.1, AttentionKind::probabilities), HasSubstr("column 5 is -0.1; expected a probability"));
  EXPECT_THAT(problem_of_entry(1.5, AttentionKind::probabilities), HasSubstr("column 5 is 1.5"));
  EXPECT_THAT(problem_of_entry(std::nan(""), AttentionKind::scores), HasSubstr("; expected a number, or -inf"));
  EXPECT_THAT(problem_of_entry(infinity, AttentionKind::scores), HasSubstr("is inf; expected a number, or -inf"));
}

TEST_F(AttentionTest, TooManyTokensForAMatrix) {
  const auto path = folder_.write("attn.npy", test::npy_bytes("<f2", {16'385, 16'385}, ""));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) + std::uint64_t{2} * 16'385 * 16'385);
  EXPECT_THAT(message_of<FileError>([&] { (void)Activations::open({path}); }),
              HasSubstr("holds attention of 16385 tokens; matrices of at most 16384 are read. Give queries and keys instead"));
}

TEST_F(AttentionTest, ValuesOfTheSameLayer) {
  const std::vector<Matrix<double>> four{probabilities(5, 1), probabilities(5, 2), probabilities(5, 3), probabilities(5, 4)};
  const Activations activations = open({tensor("layers.2.attn", {4, 5, 5}, four), values("layers.2.v", {2, 5, 3}),
                                        tensor("layers.3.attn", {4, 5, 5}, four), values("layers.3.v", {2, 6, 3})});
  const LayerInfo& info = activations.layer(2);
  EXPECT_EQ(info.value, "layers.2.v");
  EXPECT_FALSE(info.values_are_probes);
  EXPECT_EQ(info.kv_heads, 2);
  EXPECT_EQ(activations.load<double>(2, 3).value(1, 2), 20.0);  // head 1, token 1, column 2
  EXPECT_TRUE(activations.layer(3).values_are_probes);
  EXPECT_THAT(activations.layer(3).reason, HasSubstr("tensor \"layers.3.v\" (2, 6, 3) does not fit 4 heads of 5 tokens"));
  EXPECT_THAT(info.reason, Not(HasSubstr("random signs")));
}

TEST_F(AttentionTest, RandomSignsEstimateTheFrobeniusNorm) {
  const Activations activations = open({one_head("attn", probabilities(64, 5))});
  EXPECT_TRUE(activations.layers().front().values_are_probes);
  EXPECT_THAT(activations.layers().front().reason, HasSubstr("Values are 64 random signs for each token"));
  const Matrix<double> signs = activations.load<double>(0, 0).value;
  EXPECT_EQ(signs.rows(), 64);
  EXPECT_EQ(signs.cols(), 64);
  EXPECT_EQ(signs.cwiseAbs().minCoeff(), 1.0);
  EXPECT_EQ(signs.cwiseAbs().maxCoeff(), 1.0);
  EXPECT_LT(std::abs(signs.mean()), 0.1);
  EXPECT_EQ(activations.load<double>(0, 0, 10).value, signs.topRows(10));
  // The variance of each of the 64 estimates of ||M||^2 is below 2 ||M||^4: four deviations of their mean are 0.71 ||M||^2, and
  // much less for a matrix of many rows.
  const Matrix<double> matrix = random_scores(64, 9);
  const double ratio = (matrix * signs).squaredNorm() / (64.0 * matrix.squaredNorm());
  EXPECT_NEAR(ratio, 1.0, 0.2);
}

TEST_F(AttentionTest, TheOutputIsTheMatrixTimesTheValues) {
  const Matrix<double> matrix = probabilities(70, 5);
  const HeadTensors<double> head = open({one_head("attn", matrix)}).load<double>(0, 0);
  Matrix<double> output(70, head.value.cols());
  std::vector<double> lse(70);
  exact_attention<double>(head.view(), mutable_view(output), lse);
  // exp(log p) is p but for a few roundings.
  EXPECT_TRUE((output - matrix * head.value).cwiseAbs().maxCoeff() <= 1e-13);
}

TEST_F(AttentionTest, OpeningAndLoadingStop) {
  const auto path = folder_.write("a", test::safetensors_bytes({one_head("attn", probabilities(9, 5)), values("v", {9, 3})}));
  std::stop_source stop;
  RunContext context;
  context.stop = stop.get_token();
  const Activations activations = Activations::open({path}, {}, context);
  stop.request_stop();
  EXPECT_THROW((void)Activations::open({path}, {}, context), Cancelled);
  EXPECT_THROW((void)activations.load<float>(0, 0, 0, context), Cancelled);
}

TEST_F(AttentionTest, TheFilesStayOpenWithTheHead) {
  const Matrix<double> matrix = probabilities(9, 5);
  HeadTensors<double> head;
  { head = open({one_head("attn", matrix)}).load<double>(0, 0); }
  EXPECT_EQ(whole(head), log_of(matrix));
}

TEST_F(AttentionTest, CompressedAndStridedFiles) {
  const Matrix<double> matrix = probabilities(9, 5);
  test::ZipBytes entry;
  entry.name = "attn.npy";
  entry.data = test::npy_bytes("<f8", {9, 9}, one_head("", matrix).data);
  entry.deflate = true;
  const Activations npz = Activations::open({folder_.write("a.npz", test::zip_bytes({entry}))});
  EXPECT_EQ(whole(npz.load<double>(0, 0)), log_of(matrix));
  using namespace test::pickle;
  const Matrix<double> turned = matrix.transpose();
  const std::string value = tuple({test::pickle::tensor(storage("DoubleStorage", "0", 81), 0, {1, 1, 9, 9}, {81, 81, 1, 9})});
  const Activations pt = Activations::open({folder_.write("a.pt", test::torch_bytes(value, {{"0", one_head("", turned).data}}))});
  EXPECT_EQ(pt.layers().front().attention, "0");
  EXPECT_EQ(whole(pt.load<double>(0, 0)), log_of(matrix));
}

RC_GTEST_PROP(AttentionProperty, AnyTile, ()) {
  const auto n = *rc::gen::element<Index>(2, 3, 5, 8, 13, 16, 17, 31);
  const auto heads = *rc::gen::inRange<Index>(1, 4);
  std::vector<Matrix<double>> matrices;
  for (Index h = 0; h < heads; ++h) matrices.push_back(random_scores(n, static_cast<std::uint64_t>(h)));
  const TemporaryFolder folder;
  const Activations activations =
      Activations::open({folder.write("a", test::safetensors_bytes({tensor("scores", {1, heads, n, n}, matrices)}))});
  const auto head = *rc::gen::inRange<Index>(0, heads);
  const auto row = *rc::gen::inRange<Index>(0, n);
  const auto column = *rc::gen::inRange<Index>(0, n);
  Matrix<float> tile(*rc::gen::inRange<Index>(1, n - row + 1), *rc::gen::inRange<Index>(1, n - column + 1));
  activations.load<float>(0, head).matrix->read(row, column, mutable_view(tile));
  for (Index x = 0; x < tile.rows(); ++x) {
    for (Index y = 0; y < tile.cols() && column + y <= row + x; ++y) {
      RC_ASSERT(tile(x, y) == static_cast<float>(matrices[static_cast<std::size_t>(head)](row + x, column + y)));
    }
  }
}

}  // namespace
}  // namespace convbasis
