"""What the names of libraries mean to the walk: light type hints, by the last part of a name."""

from __future__ import annotations


def _named(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Transformers whose fitting takes a statistic of the rows, which then enters every row they transform.
LEARNERS = _named("""
    StandardScaler MinMaxScaler MaxAbsScaler RobustScaler PowerTransformer QuantileTransformer SimpleImputer Imputer
    KNNImputer IterativeImputer MissForest PCA IncrementalPCA KernelPCA SparsePCA MiniBatchSparsePCA TruncatedSVD NMF
    FastICA FactorAnalysis SelectKBest SelectPercentile SelectFromModel SelectFpr SelectFdr SelectFwe RFE RFECV
    SequentialFeatureSelector VarianceThreshold GenericUnivariateSelect TfidfVectorizer CountVectorizer TfidfTransformer
    KBinsDiscretizer SplineTransformer TargetEncoder CatBoostEncoder LeaveOneOutEncoder WOEEncoder JamesSteinEncoder
    MEstimateEncoder CountEncoder Tokenizer Isomap LocallyLinearEmbedding TSNE UMAP MDS LatentDirichletAllocation
    BorutaPy TextVectorization MeanMedianImputer Winsorizer KernelCenterer
""")
# Those that learn a list of categories at most.
HARMLESS = _named("""
    LabelEncoder OneHotEncoder OrdinalEncoder LabelBinarizer MultiLabelBinarizer PolynomialFeatures Normalizer
    HashingVectorizer FunctionTransformer Binarizer FeatureHasher BinaryEncoder
""")
CONTAINERS = _named("""
    Pipeline make_pipeline ColumnTransformer make_column_transformer FeatureUnion make_union DataFrameMapper
""")
RESAMPLERS = _named("""
    SMOTE ADASYN BorderlineSMOTE SVMSMOTE KMeansSMOTE SMOTENC SMOTEN RandomOverSampler SMOTETomek SMOTEENN
""")
UNDERSAMPLERS = _named("""
    RandomUnderSampler NearMiss TomekLinks EditedNearestNeighbours ClusterCentroids NeighbourhoodCleaningRule
    OneSidedSelection InstanceHardnessThreshold AllKNN CondensedNearestNeighbour
""")
BASELINES = _named("DummyClassifier DummyRegressor")
# What groups, thins, looks for outliers or goes on with a series has no outcome that it could have seen before.
UNSUPERVISED = _named("""
    KMeans MiniBatchKMeans DBSCAN OPTICS AgglomerativeClustering SpectralClustering Birch MeanShift AffinityPropagation
    GaussianMixture BayesianGaussianMixture HDBSCAN KModes KPrototypes NearestNeighbors IsolationForest
    LocalOutlierFactor EllipticEnvelope OneClassSVM KernelDensity ImageDataGenerator MiniSom Prophet ARIMA SARIMAX
    AutoARIMA ExponentialSmoothing Holt
""")
FOLDS = _named("""
    KFold StratifiedKFold GroupKFold StratifiedGroupKFold RepeatedKFold RepeatedStratifiedKFold ShuffleSplit
    StratifiedShuffleSplit GroupShuffleSplit TimeSeriesSplit LeaveOneOut LeavePOut LeaveOneGroupOut PredefinedSplit
""")
SEARCHES = _named("GridSearchCV RandomizedSearchCV BayesSearchCV HalvingGridSearchCV HalvingRandomSearchCV")
SPLITS = _named("train_test_split random_split train_val_test_split multilabel_train_test_split")
CROSS_VALIDATIONS = _named("cross_val_score cross_validate cross_val_predict")
# Constructors that hold data rather than learn from it.
DATA_CLASSES = _named("""
    DataFrame Series Tensor FloatTensor LongTensor TensorDataset DataLoader DMatrix Subset ConcatDataset Pool
    DatasetEntry ndarray Variable BucketIterator Index MultiIndex Counter QuantileDMatrix Dataset
""")
SCORES = _named("""
    accuracy_score average_precision_score balanced_accuracy_score brier_score_loss classification_report
    cohen_kappa_score confusion_matrix f1_score fbeta_score hamming_loss hinge_loss jaccard_score log_loss
    matthews_corrcoef multilabel_confusion_matrix ndcg_score precision_recall_curve precision_recall_fscore_support
    precision_score recall_score roc_auc_score roc_curve top_k_accuracy_score zero_one_loss explained_variance_score
    max_error mean_absolute_error mean_squared_error mean_squared_log_error median_absolute_error
    mean_absolute_percentage_error root_mean_squared_error r2_score mean_poisson_deviance mean_gamma_deviance auc
    mean_tweedie_deviance mean_pinball_loss rmse mape mse mae crosstab plot_confusion_matrix
    plot_roc_curve plot_precision_recall_curve
""")
PREDICTS = _named("""
    predict predict_proba predict_class predict_classes predict_log_proba decision_function predict_generator
    predict_on_batch
    evaluate score evaluate_generator test_on_batch
""")
SCORING = _named("score evaluate evaluate_generator test_on_batch")
FITS = _named("fit fit_generator partial_fit train_on_batch fit_one_cycle fit_params")
TRANSFORMS = _named("""
    transform texts_to_sequences texts_to_matrix sequences_to_texts inverse_transform flow standardize adapt_transform
""")
# Numbers of a whole column. Counts, shapes and names of columns are left out: they do not change a row's values.
STATISTICS = _named(
    "mean median std var min max quantile mode nanmean nanmedian nanstd ptp percentile average amin amax"
)
FILLS = _named("fillna replace where mask clip apply transform map applymap sub div add mul subtract divide")
READERS = _named("""
    read_csv read_excel read_parquet read_json read_sql read_sql_query read_table read_pickle read_hdf read_feather
    read_html read_fwf read_stata read_sas loadtxt genfromtxt load imread image_dataset_from_directory
    text_dataset_from_directory audio_dataset_from_directory timeseries_dataset_from_array
""")
PLAIN = _named("""
    len print type range isinstance str int float bool display info describe shape plot hist show nunique unique
    value_counts columns dtypes getattr hasattr format size ndim
""")
MASKS = _named("isnull isna notnull notna isin between duplicated contains startswith endswith eq ne lt gt le ge isnan")
TIMERS = _named("perf_counter time process_time timeit default_timer monotonic perf_counter_ns")
# Names that every program has, so that they are no data.
BUILT_IN = _named("""
    abs all any bool bytes callable chr classmethod dict dir display divmod enumerate eval exec exit filter float format
    frozenset get_ipython getattr globals hasattr hash help hex id input int isinstance issubclass iter len list locals
    map max min next object open ord pow print property quit range repr reversed round self set setattr slice sorted
    staticmethod str sum super tuple type vars zip Ellipsis NotImplemented __file__ __name__ Exception ValueError
    TypeError KeyError IndexError StopIteration RuntimeError NotImplementedError AssertionError ImportError OSError
""")
# Modules that a file may get by a star import, by the names that everybody gives them.
MODULES = {
    "np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot", "sns": "seaborn", "tf": "tensorflow", "torch": "torch",
    "nn": "torch.nn", "keras": "keras", "sklearn": "sklearn", "sm": "statsmodels.api", "scipy": "scipy", "os": "os",
    "math": "math", "random": "random", "re": "re", "sys": "sys", "json": "json", "time": "time",
}  # fmt: skip
# What `from sklearn import *` brings.
SKLEARN = _named("""
    base calibration cluster covariance cross_decomposition datasets decomposition discriminant_analysis dummy ensemble
    feature_extraction feature_selection gaussian_process impute isotonic kernel_ridge linear_model manifold metrics
    mixture model_selection multiclass multioutput naive_bayes neighbors neural_network pipeline preprocessing svm tree
    utils
""")
NETWORKS = _named("Sequential Model Module Booster Functional ?")
